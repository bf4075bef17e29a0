"""The verb `jessl.embed`: encoder and source to Embeddings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from jessl import runs
from jessl.config import Embed
from jessl.config.verb import takes_options
from jessl.core.deprecation import renamed_arguments
from jessl.core.devices import pick_device
from jessl.core.log import log
from jessl.core.process_group import on_all_ranks, process_group
from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_choice
from jessl.data import open_source
from jessl.data.labels import with_class_names
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder, Preprocess
from jessl.extraction.channels import band_normalisation, check_input, check_source
from jessl.extraction.embed_to_folder import embed_to_folder
from jessl.extraction.extract import (
    LAYERS,
    ExtractionJob,
    extract_job,
)
from jessl.extraction.open_encoder import open_encoder
from jessl.extraction.reading import warn_unlike_training
from jessl.views import Views
from jessl.views.presets import is_file, preset

# random views of an image: as many as a recipe may have
_MOST_VIEWS = 256
_DEFAULT_VIEWS = 10


@takes_options(Embed, data="source")
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
    class_names: str | Path | Sequence[str] | None = None,
    groups: str | None = None,
    bits: int | None = None,
    value_range: Sequence[float] | None = None,
    device: str = "auto",
    workers: int | None = None,
    seed: int = 0,
    views: str | Path | Views | None = None,
    n_views: int | None = None,
    arch: str | None = None,
    key: str | None = None,
    progress: ProgressCallback | None = None,
    stop: Callable[[], bool] | None = None,
) -> Embeddings | dict[str, Embeddings]:
    """Representations of images: evaluation mode, one central view (or random ones), float32.

    The encoder may also be an `Encoder` or a `Run` that is open already, the source a `Source`, and
    `views` a `Views`.

    With `out` finished parts are kept in out/.embedding, and the same call continues after a kill.
    The processes of torchrun, or of a process group that exists, all call it together with the same
    `out` on a disk that all of them see: each embeds a share. Without `out` each process embeds
    all images for itself.

    Example:
        jessl.embed("timm:resnet50", "photos", out="photos-resnet50")

    Args:
        source: a Source or anything `open_source` accepts, n images.
        progress: called with (images done, images in all); with several processes on the first.
        stop: called after every batch; True ends the work with Stopped.

    Returns:
        Embeddings, or a dict of them when several layers are asked for. Images that cannot be
        read have no row; meta["unreadable"] names them with the reasons. With `out`, features
        of more than 4,096 rows, or of several processes, are a memory map of the file.

    Raises:
        Stopped: when `stop` returned True; finished parts are kept.
        ValueError: for an unknown encoder or layer, weights that do not fit, a source of which no
            image can be read, or whose images have other channels than the encoder.
    """
    layers = list(dict.fromkeys(layers))
    if not layers:
        raise ValueError(f"layers: expected at least one of {', '.join(LAYERS)}")
    if views is None and n_views is not None:
        raise ValueError("n_views counts random views: give views as well, such as simclr")
    stop = stop or (lambda: False)

    def prepare(place: torch.device) -> ExtractionJob:
        opened = open_source(
            source, labels=labels, groups=groups, bits=bits, value_range=value_range
        )
        check_source(opened)
        if class_names is not None:
            [opened] = with_class_names(class_names, data=opened)
        net, objective, provenance = open_encoder(
            encoder,
            init=init,
            stem=stem,
            size=size,
            seed=seed,
            arch=arch,
            key=key,
            normalisation=band_normalisation(opened),
        )
        check_input(net, opened)
        warn_unlike_training(provenance, opened, log)
        if objective is None and any(layer in LAYERS[1:] for layer in layers):
            owner = provenance.get("objective")
            raise ValueError(
                "layer 'projector' exists in runs only; a bare encoder has a backbone"
                if owner is None
                else f"layer 'projector': expected the objective of the run, {owner}, to be "
                "registered or installed here; it has a backbone only"
            )
        known = ["backbone", *(() if objective is None else objective.layers())]
        for layer in layers:
            check_choice("layer", layer, known)
        if not isinstance(encoder, Encoder) or device != "auto":
            net.to(place)  # an Encoder that was passed in stays where it is
        repeated = None
        if views is not None:
            count = _DEFAULT_VIEWS if n_views is None else n_views
            repeated = repeat_views(views, count, net.preprocess)
        return ExtractionJob(
            net, objective, opened, layers, batch_size, workers, provenance, repeated, seed
        )

    if out is None:
        by_layer = extract_job(prepare(pick_device(device)), progress)
    else:
        with process_group(device) as place:
            job = on_all_ranks(prepare, place)
            by_layer = embed_to_folder(job, Path(out), stop=stop, progress=progress)
    return by_layer if len(by_layer) > 1 else by_layer[layers[0]]


def repeat_views(views: str | Path | Views, n_views: int, preprocess: Preprocess) -> Views:
    """n_views global views in turn, of the size and normalisation that the encoder expects.

    Raises:
        ValueError: for fewer than 2 or more than 256 views, or an unknown preset.
    """
    if not 2 <= n_views <= _MOST_VIEWS:
        raise ValueError(f"n_views: expected a number in 2..{_MOST_VIEWS}, got {n_views}")
    if not isinstance(views, Views):
        views = preset(str(views), None if is_file(str(views)) else preprocess.size)
    views = views.resized(preprocess.size).normalised(preprocess.mean, preprocess.std)
    whole = views.recipes[: views.n_global]
    turns = [divmod(k, len(whole)) for k in range(n_views)]
    recipes = tuple(
        v if v.apart_from is None else replace(v, apart_from=turn * len(whole) + v.apart_from)
        for v, turn in ((whole[k], turn) for turn, k in turns)
    )
    return replace(views, recipes=recipes, n_global=None)
