"""Encoder and source to Embeddings: the verb `jessl.embed`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from jessl import runs
from jessl.core.deprecation import renamed_arguments
from jessl.core.devices import pick_device
from jessl.core.precision import full_float32
from jessl.core.progress import ProgressCallback
from jessl.core.random import seeded
from jessl.core.sampling import linspace_indices
from jessl.core.validation import check_choice
from jessl.data import Loader, Source, UnreadableImage, open_source
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder, Preprocess, build_encoder, load_weights
from jessl.encoders.checkpoints import open_checkpoint as foreign
from jessl.objectives import Objective, build_objective
from jessl.training import checkpoint
from jessl.views import Views, central_view
from jessl.views.presets import is_file, preset

LAYERS = ("backbone", "projector")


class NothingReadable(ValueError):
    """Not one image of a source can be read."""


# images of which one has to be readable for the number of channels to be known beforehand
_TRIED = 4
# of an image: as many as a recipe may have
_MOST_VIEWS = 256


@renamed_arguments(on_batch="progress")
def embed(
    encoder: str | Path | runs.Run | Encoder,
    source: Any,
    *,
    out: str | Path | None = None,
    batch_size: int = 256,
    layers: Sequence[str] = ("backbone",),
    init: str | Path | None = None,
    stem: str | None = None,
    size: int | None = None,
    labels: str | Path | None = None,
    groups: str | None = None,
    device: str = "auto",
    workers: int | None = None,
    seed: int = 0,
    views: str | Path | Views | None = None,
    n_views: int | None = None,
    arch: str | None = None,
    key: str | None = None,
    progress: ProgressCallback | None = None,
) -> Embeddings | dict[str, Embeddings]:
    """Representations of images: evaluation mode, one central view (or random ones), float32.

    Args:
        encoder: an Encoder, a run (its folder, or that of one of its checkpoints), a file of
            weights (`ckpt:PATH`, `ckpt:PATH@ARCH`, or the path), or a name that `build_encoder`
            knows, whose weights are the published ones unless `init` says otherwise.
        source: a Source or anything `open_source` accepts, n images.
        out: where to save: a folder of embeddings, or with several layers a folder of such.
        batch_size: images at a time.
        layers: "backbone" [n, dim], and for runs "projector" [n, out], where RankMe is defined,
            and its hidden layers "projector.1", "projector.2", ...
        init: weights for a named encoder: a file, or "random" (from `seed`).
        stem, size: as in `build_encoder`, for named encoders.
        labels: CSV file with columns path,label.
        groups: another column of that file: images with the same cell (a patient, a camera) are a
            group, which no split divides.
        device: "auto" (for an Encoder: where it is), "cpu", "cuda" or "cuda:N".
        workers: threads that decode.
        seed: of random weights, and of random views.
        views: a preset ("simclr"), a file or Views: n_views random views of each image instead of
            the central one, each a row of its own with the image's id; what LiDAR and alignment
            judge. The size is the encoder's; of a preset with local crops the global ones.
        n_views: how many, 2 to 256; None: 10. Where the preset has unlike views they take turns.
        arch: the net that a file of weights is of, a name; None: by its tensors.
        key: prefix of the tensors to take of a file that holds several encoders.
        progress: told (images done, images in all).

    Returns:
        Embeddings, or a dict of them when several layers are asked for. Images that cannot be
        read have no row; meta["unreadable"] names them with the reasons.

    Raises:
        ValueError: for an unknown encoder or layer, weights that do not fit, a source of which no
            image can be read, or whose images have 2 or 4 channels.
    """
    layers = list(dict.fromkeys(layers))
    if not layers:
        raise ValueError(f"layers must name at least one of {', '.join(LAYERS)}")
    if views is None and n_views is not None:
        raise ValueError("n_views counts random views; say which by views, such as simclr")
    opened = check_channels(open_source(source, labels=labels, groups=groups))
    net, objective, provenance = open_encoder(
        encoder, init=init, stem=stem, size=size, seed=seed, arch=arch, key=key
    )
    if objective is None and any(layer in LAYERS[1:] for layer in layers):
        raise ValueError("layer 'projector' exists in runs only; a bare encoder has a backbone")
    known = ["backbone", *(objective.layers() if objective is not None else ())]
    for layer in layers:
        check_choice("layer", layer, known)
    if not isinstance(encoder, Encoder) or device != "auto":
        net.to(pick_device(device))  # an encoder that came built stays where it is
    found = extract(
        net,
        objective,
        opened,
        layers=layers,
        batch_size=batch_size,
        workers=workers,
        meta=provenance,
        views=None
        if views is None
        else repeat_views(views, 10 if n_views is None else n_views, net.preprocess),
        seed=seed,
        progress=progress,
    )
    if out is not None:
        for layer, embeddings in found.items():
            embeddings.save(Path(out) if len(found) == 1 else Path(out) / layer)
    return found if len(found) > 1 else found[layers[0]]


def repeat_views(views: str | Path | Views, n_views: int, preprocess: Preprocess) -> Views:
    """n_views global views in turn, as large and normalised as the encoder wants them.

    Raises:
        ValueError: for fewer than 2 or more than 256 views, or an unknown preset.
    """
    if not 2 <= n_views <= _MOST_VIEWS:
        raise ValueError(f"n_views must be in 2..{_MOST_VIEWS}, got {n_views}")
    if not isinstance(views, Views):
        views = preset(str(views), None if is_file(str(views)) else preprocess.size)
    views = views.resized(preprocess.size).normalised(preprocess.mean, preprocess.std)
    whole = views.recipes[: views.n_global]
    turns = (whole[k % len(whole)] for k in range(n_views))
    return replace(views, recipes=tuple(replace(v, apart_from=None) for v in turns), n_global=None)


def check_channels(source: Source) -> Source:
    """The source itself, where its images have the 1 or 3 channels that encoders take.

    Files always do; of an array or a data set a readable image is looked at.

    Raises:
        ValueError: for 2 or 4 channels.
    """
    for index in linspace_indices(len(source), _TRIED).tolist():
        try:
            channels = source.read(index).shape[2]
        except UnreadableImage:
            continue  # whoever reads them all will say so
        if channels not in (1, 3):
            raise ValueError(
                f"data: the images of {source.name} have {channels} channels; encoders take 1 "
                "(grey) or 3 (RGB)"
            )
        break
    return source


def open_encoder(
    encoder: str | Path | runs.Run | Encoder,
    *,
    init: str | Path | None = None,
    stem: str | None = None,
    size: int | None = None,
    seed: int = 0,
    arch: str | None = None,
    key: str | None = None,
) -> tuple[Encoder, Objective | None, dict[str, Any]]:
    """Encoder, its objective where it has one, and where both came from (JSON values).

    Where weights of a file were loaded, "weights_report" says what was taken of it.
    """
    if isinstance(encoder, Encoder):
        _only_files(encoder.name, arch=arch, key=key)
        return encoder, None, {"encoder": encoder.name}
    step = None if isinstance(encoder, runs.Run) else checkpoint_step(encoder)
    if step is not None or isinstance(encoder, runs.Run) or runs.is_run(encoder):
        _only_files(str(encoder), arch=arch, key=key)
        if init is not None or stem is not None or size is not None:
            raise ValueError("a run has its own weights, stem and size: leave init, stem, size out")
        if step is not None:
            return _of_run(*step)
        return _of_run(encoder if isinstance(encoder, runs.Run) else runs.Run.open(encoder))
    name = str(encoder)
    if Path(name).is_dir():
        runs.Run.open(name)  # says why it is none
    file = foreign.checkpoint_file(name, arch, key if init is None else None)
    if file is not None:
        if init is not None:
            raise ValueError(f"encoder {name} has its own weights: leave init out")
        net, loaded = foreign.open_checkpoint(file, stem=stem, size=size)
        told = {"stem": net.stem, "weights": str(file.path), "weights_report": loaded.as_json()}
        return net, None, {"encoder": net.name, **told}
    random = str(init) == "random"
    pretrained = init is None or str(init) == "pretrained"
    if random or pretrained:
        _only_files(name, arch=arch, key=key)
    with seeded(seed):
        net = build_encoder(name, size=size, stem=stem, pretrained=pretrained)
    # nets of transformers tell what was taken for the representation
    report = getattr(net.body, "report", None)
    if not random and not pretrained:
        assert init is not None
        report = load_weights(net, weights_file(init), key=key)
    weights = f"random, seed {seed}" if random else str(init or "published")
    provenance: dict[str, Any] = {"encoder": net.name, "stem": net.stem, "weights": weights}
    if report is not None:
        provenance["weights_report"] = report.as_json()
    return net, None, provenance


def _only_files(encoder: str, **given: str | None) -> None:
    for argument, value in given.items():
        if value is not None:
            raise ValueError(f"{argument} {value!r} is for a file of weights; {encoder} is none")


def checkpoint_step(path: str | Path) -> tuple[runs.Run, Path] | None:
    """The run, and the folder itself, of RUN/checkpoints/step-000000120; None for all else."""
    folder = Path(path).resolve()
    if not folder.is_dir() or folder not in [p for _, p in checkpoint.steps(folder.parent)]:
        return None
    run = folder.parents[1]
    return (runs.Run.open(run), folder) if runs.is_run(run) else None


def weights_file(init: str | Path) -> Path:
    """The file behind --init: itself, or the weights of a checkpoint: the newest of a run folder,
    or the one of that folder."""
    step = checkpoint_step(init)
    if step is not None:
        return step[1] / checkpoint.MODEL
    if not runs.is_run(init):
        return Path(init)
    steps = checkpoint.steps(runs.Run.open(init).checkpoints)
    if not steps:
        raise ValueError(f"run {init} has no checkpoint yet")
    return steps[-1][1] / checkpoint.MODEL


def _of_run(run: runs.Run, at: Path | None = None) -> tuple[Encoder, Objective, dict[str, Any]]:
    """Of the newest checkpoint that can be read, or of the one in the folder `at`."""
    chosen = run.resolved_config()
    if at is None:
        latest, notes = checkpoint.load_latest(run.checkpoints)
    else:
        latest, notes = checkpoint.load(at), []
    if latest is None:
        raise ValueError("; ".join([f"run {run.path} has no checkpoint that can be read", *notes]))
    net = build_encoder(chosen.encoder, size=chosen.size, stem=chosen.stem, dim=chosen.dim)
    objective = build_objective(chosen.objective, net.dim, chosen.objective_options)
    checkpoint.restore(
        {"encoder": net, "objective": objective}, latest.tensors, latest.path / checkpoint.MODEL
    )
    provenance = {
        "encoder": net.name,
        "stem": net.stem,
        "weights": f"run {run.name}, step {latest.step}",
        "objective": chosen.objective,
    }
    return net, objective, provenance


def _tapped(
    objective: Objective, layers: Sequence[str], found: dict[str, torch.Tensor]
) -> list[RemovableHandle]:
    """Have the outputs of the objective's wanted layers put into `found`."""

    def into(layer: str) -> Callable[[nn.Module, Any, torch.Tensor], None]:
        return lambda _module, _inputs, output: found.__setitem__(layer, output)

    modules = objective.layers()
    return [modules[n].register_forward_hook(into(n)) for n in layers if n in modules]


@torch.inference_mode()
def extract(
    encoder: Encoder,
    objective: Objective | None,
    source: Source,
    *,
    layers: Sequence[str],
    batch_size: int = 256,
    workers: int | None = None,
    meta: dict[str, Any] | None = None,
    views: Views | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> dict[str, Embeddings]:
    """Embeddings of all readable images at each layer; modes of the modules are put back.

    Of the central view, or a row for each of `views` (drawn from `seed`).
    """
    device = next(encoder.parameters()).device
    p = encoder.preprocess
    loader = Loader(
        source,
        central_view(p.size, p.mean, p.std, p.crop_share) if views is None else views,
        batch_size,
        seed=seed,
        shuffle=False,
        workers=workers,
        unreadable="drop",
        device=device,
    )
    modules: list[nn.Module] = [encoder] if objective is None else [encoder, objective.to(device)]
    were_training = [m.training for m in modules]
    for m in modules:
        m.eval()
    rows: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    ids: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    done = 0
    found: dict[str, torch.Tensor] = {}
    taps = [] if objective is None else _tapped(objective, layers, found)
    try:
        for batch in loader:
            for seen in batch.views:
                with full_float32():
                    found["backbone"] = h = encoder(seen).float()
                    if objective is not None and taps:
                        objective.project(h)
                for layer in layers:
                    rows[layer].append(found[layer].float().cpu().numpy())
                ids.append(batch.ids.numpy())
                if batch.labels is not None:
                    labels.append(batch.labels.numpy())
            done += len(batch.ids)
            if progress is not None:
                progress(done, len(source))
    finally:
        for tap in taps:
            tap.remove()
        for m, was in zip(modules, were_training, strict=True):
            m.train(was)
    if not done:
        where, reason = next(iter(loader.skipped.items()), (source.name, "it is empty"))
        raise NothingReadable(
            f"not one image of {source.name} can be read; first {where}: {reason}"
        )
    told = {
        **(meta or {}),
        "data": source.name,
        "data_checksum": source.fingerprint(),
        "classes": list(source.classes) if source.classes is not None else None,
        "preprocess": {"size": p.size, "mean": p.mean, "std": p.std, "crop_share": p.crop_share},
        "unreadable": loader.skipped,
        **({} if source.groups is None else {"groups_column": source.groups_column}),
        **({} if views is None else {"views": views.as_dict(), "views_seed": seed}),
    }
    seen_ids = np.concatenate(ids)
    groups = _groups_of(source, seen_ids)
    return {
        layer: Embeddings(
            np.concatenate(rows[layer]),
            np.concatenate(labels) if labels else None,
            seen_ids,
            {**told, "layer": layer},
            groups,
        )
        for layer in layers
    }


def _groups_of(source: Source, ids: np.ndarray) -> np.ndarray | None:
    """Groups of the images with these ids: int64 [len(ids)]; None where the source has none."""
    if source.groups is None:
        return None
    order = np.argsort(source.ids)
    return source.groups[order[np.searchsorted(source.ids, ids, sorter=order)]]
