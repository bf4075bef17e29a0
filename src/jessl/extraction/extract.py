"""Embeddings of all images of a source, at any layer of an encoder and its objective."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.utils.hooks import RemovableHandle

from jessl.core.precision import full_float32
from jessl.core.progress import ProgressCallback
from jessl.core.sampling import linspace_indices
from jessl.data import Loader, Source, UnreadableImage
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder
from jessl.objectives import Objective
from jessl.views import Views, central_view

LAYERS = ("backbone", "projector")

# images of which one must be readable for the number of channels to be known beforehand
_CHANNEL_SAMPLE = 4


class NothingReadable(ValueError):
    """Not one image of a source can be read."""


def check_channels(source: Source) -> Source:
    """The source itself, where its images have the 1 or 3 channels that encoders take.

    Files always do; of an array or a data set a readable image is looked at.

    Raises:
        ValueError: for 2 or 4 channels.
    """
    for index in linspace_indices(len(source), _CHANNEL_SAMPLE).tolist():
        try:
            channels = source.read(index).shape[2]
        except UnreadableImage:
            continue  # reported when all images are read
        if channels not in (1, 3):
            raise ValueError(
                f"data: the images of {source.name} have {channels} channels; encoders take 1 "
                "(grey) or 3 (RGB)"
            )
        break
    return source


@torch.inference_mode()
def extract(
    encoder: Encoder,
    objective: Objective | None,
    source: Source,
    *,
    layers: Sequence[str],
    batch_size: int = 256,
    workers: int | None = None,
    meta: Mapping[str, object] | None = None,
    views: Views | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> dict[str, Embeddings]:
    """Embeddings of all readable images at each layer; modes of the modules are put back.

    Args:
        encoder: on the device that computes.
        objective: of a run, None for a bare encoder.
        source: the images.
        layers: "backbone", and names of the objective's layers.
        batch_size: images at a time.
        workers: threads that decode.
        meta: JSON values for the metadata of the embeddings.
        views: a row for each of these views, drawn from `seed`; None: the central view.
        seed: of the views.
        progress: called with (images done, images in all).

    Raises:
        NothingReadable: when not one image can be read.
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
    outputs: dict[str, torch.Tensor] = {}
    hooks = [] if objective is None else _capture_layers(objective, layers, outputs)
    try:
        for batch in loader:
            for view in batch.views:
                with full_float32():
                    outputs["backbone"] = h = encoder(view).float()
                    if objective is not None and hooks:
                        objective.project(h)
                for layer in layers:
                    rows[layer].append(outputs[layer].float().cpu().numpy())
                ids.append(batch.ids.numpy())
                if batch.labels is not None:
                    labels.append(batch.labels.numpy())
            done += len(batch.ids)
            if progress is not None:
                progress(done, len(source))
    finally:
        for hook in hooks:
            hook.remove()
        for m, was in zip(modules, were_training, strict=True):
            m.train(was)
    if not done:
        where, reason = next(iter(loader.skipped.items()), (source.name, "it is empty"))
        raise NothingReadable(
            f"not one image of {source.name} can be read; first {where}: {reason}"
        )
    metadata = {
        **(meta or {}),
        "data": source.name,
        "data_checksum": source.fingerprint(),
        "classes": list(source.classes) if source.classes is not None else None,
        "preprocess": {"size": p.size, "mean": p.mean, "std": p.std, "crop_share": p.crop_share},
        "unreadable": loader.skipped,
        **({"data_notes": list(source.notes)} if source.notes else {}),
        **value_range_meta(source),
        **({} if source.groups is None else {"groups_column": source.groups_column}),
        **({} if views is None else {"views": views.as_dict(), "views_seed": seed}),
    }
    row_ids = np.concatenate(ids)
    groups = _groups_of(source, row_ids)
    return {
        layer: Embeddings(
            np.concatenate(rows[layer]),
            np.concatenate(labels) if labels else None,
            row_ids,
            {**metadata, "layer": layer},
            groups,
        )
        for layer in layers
    }


def value_range_meta(source: Source) -> dict[str, list[float]]:
    """The stored values that are black and white, for metadata; nothing where none were chosen."""
    chosen = source.value_range
    return {} if chosen is None else {"value_range": [chosen.low, chosen.high]}


def _capture_layers(
    objective: Objective, layers: Sequence[str], outputs: dict[str, torch.Tensor]
) -> list[RemovableHandle]:
    """Write the outputs of these layers of the objective into `outputs`, until the hooks go."""

    def into(layer: str) -> Callable[[nn.Module, object, torch.Tensor], None]:
        return lambda _module, _inputs, output: outputs.__setitem__(layer, output)

    modules = objective.layers()
    return [modules[n].register_forward_hook(into(n)) for n in layers if n in modules]


def _groups_of(source: Source, ids: np.ndarray) -> np.ndarray | None:
    """Groups of the images with these ids: int64 [len(ids)]; None where the source has none."""
    if source.groups is None:
        return None
    order = np.argsort(source.ids)
    return source.groups[order[np.searchsorted(source.ids, ids, sorter=order)]]
