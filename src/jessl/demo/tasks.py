"""What a worker process of the demo does: one run, or its judgement with labels."""

from __future__ import annotations

import os
import signal
import threading
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import parent_process
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np

from jessl.config import Pretrain
from jessl.data import Source, open_source, split_source, unlabelled
from jessl.embeddings import Embeddings
from jessl.runs import Run

# the division of the images is part of the demo, not of its seeds
_SPLIT_SEED = 0
_TEST_SHARE = 0.2


@dataclass(frozen=True)
class Data:
    """Which images a demo works on, as values that travel to its workers.

    Attributes:
        spec: SRC; labels: CSV file or None; images: how many at most.
        x_key, y_key: names of the arrays in an .npz file, None: the usual ones.
    """

    spec: str
    labels: str | None
    images: int
    x_key: str | None = None
    y_key: str | None = None


@lru_cache(maxsize=1)
def open_divided(data: Data) -> tuple[Source, Source]:
    """(train, test): a fifth is for the closing check; both are chosen by hashes of the ids."""
    source = open_source(data.spec, labels=data.labels, x_key=data.x_key, y_key=data.y_key)
    if len(source) > data.images:
        source = split_source(source, data.images / len(source), _SPLIT_SEED)[1]
    return split_source(source, _TEST_SHARE, _SPLIT_SEED + 1)


_stopping: Event | None = None


def start_worker(stopping: Event) -> None:
    """One core a worker: two runs side by side are faster than one on two cores.

    The limit holds for BLAS and OpenMP too: their threads wait by spinning, and a probe beside
    another worker's took 38 s instead of .5 s on two cores. What is not loaded cannot be
    limited, so the libraries are loaded first.
    """
    import sklearn.linear_model  # noqa: F401
    import torch
    from threadpoolctl import threadpool_limits

    global _stopping
    _stopping = stopping
    # Ctrl-C reaches all processes of a terminal; the parent asks the workers to stop in order
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    threadpool_limits(1)


def _leave_with_parent() -> None:
    """A killed parent cannot end its workers: they watch it. Checkpoints keep what was done."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def stopping() -> bool:
    """Whether the demo was asked to stop."""
    return _stopping is not None and _stopping.is_set()


def pretrain_one(data: Data, config: Pretrain) -> str:
    """One run on the training images, its labels hidden; a finished one is left as it is."""
    from jessl.pretraining import pretrain

    assert config.out is not None
    train, _ = open_divided(data)
    if not Path(config.out).exists() or not Run(Path(config.out)).finished():
        pretrain(config, source=unlabelled(train), quiet=True, stop=stopping)
    return config.out


def accuracy_of_run(data: Data, path: str, seed: int) -> dict[str, float]:
    """Closing check of a run: probes on its representations; records go to the run."""
    from jessl.selection.run_evaluation import probe_run

    return probe_run(Run.open(path), *open_divided(data), seed=seed)


def accuracy_untrained(data: Data, encoder: str, size: int, seeds: list[int]) -> list[float]:
    """Logistic-probe accuracy of the same encoder with random weights, for each seed."""
    from jessl.extraction.embed import embed
    from jessl.probes import probe

    train, test = open_divided(data)
    found = []
    for seed in seeds:
        z = [
            _one(embed(encoder, part, init="random", size=size, seed=seed, workers=1))
            for part in (train, test)
        ]
        found.append(probe(z[0], z[1], seed=seed).accuracy)
    return found


def accuracy_of_pixels(data: Data, size: int) -> float:
    """Logistic-probe accuracy of the pixels of the central view, flattened."""
    from jessl.data import Loader
    from jessl.probes import probe
    from jessl.views import central_view

    def pixels(part: Source) -> Embeddings:
        view = central_view(size, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
        loader = Loader(part, view, 256, shuffle=False, workers=1, unreadable="drop")
        rows, labels = [], []
        for batch in loader:
            x = batch.views[0].numpy()
            # grey images come as three equal channels
            rows.append(x[:, :1] if (x == x[:, :1]).all() else x)
            assert batch.labels is not None
            labels.append(batch.labels.numpy())
        colour = max(r.shape[1] for r in rows)
        flat = [
            np.broadcast_to(r, (len(r), colour, *r.shape[2:])).reshape(len(r), -1) for r in rows
        ]
        return Embeddings(np.concatenate(flat), np.concatenate(labels))

    train, test = open_divided(data)
    return probe(pixels(train), pixels(test)).accuracy


def components_of_run(path: str, seed: int) -> dict[str, float]:
    """Risk decomposition of a run from the embeddings of its closing check; also recorded."""
    from jessl.selection.run_evaluation import decompose_run

    found = decompose_run(Run.open(path), seed=seed)
    return {name.removeprefix("risk/"): value for name, value in found.items()}


def _one(found: Embeddings | dict[str, Embeddings]) -> Embeddings:
    assert isinstance(found, Embeddings)
    return found
