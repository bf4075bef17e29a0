"""The verb `jessl.export`: an encoder to a folder that another library loads."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from jessl import runs
from jessl.config import EXPORT_FORMATS, Export
from jessl.config.verb import takes_options
from jessl.core.checksums import write_checksums
from jessl.core.files import atomic_directory, write_json
from jessl.core.leftovers import other_names
from jessl.core.log import Log
from jessl.core.log import log as standard_log
from jessl.core.precision import full_float32
from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_choice
from jessl.encoders import Encoder
from jessl.encoders.checkpoints.export_folder import (
    DESCRIPTION,
    NAMES,
    README,
    ExportDescription,
    is_export,
    read_description,
)
from jessl.exporting._format import ExportJob, Format, sample_images
from jessl.exporting._result import ExportResult
from jessl.exporting.classified import open_classified
from jessl.exporting.formats import pick_format
from jessl.exporting.readme import write_readme
from jessl.exporting.source import architecture_name, source_of, source_run
from jessl.extraction.open_encoder import open_encoder
from jessl.extraction.opened_encoder import weights_sha256
from jessl.objectives import Objective

# random images that the export is compared on
_SAMPLES = 3
# largest difference of an output, divided by the largest output or 1: other orders of summation
_TOLERANCE = {"onnx": 1e-4}
_SAME_OPERATIONS = 1e-5
_STEPS = 4


@takes_options(Export, encoder="run")
def export(
    run: str | Path | runs.Run | Encoder,
    out: str | Path,
    *,
    format: str | None = None,
    projector: bool = False,
    head: bool = False,
    overwrite: bool = False,
    init: str | Path | None = None,
    stem: str | None = None,
    size: int | None = None,
    arch: str | None = None,
    key: str | None = None,
    seed: int = 0,
    log: Log = standard_log,
    progress: ProgressCallback | None = None,
) -> ExportResult:
    """Write an encoder so that another library loads it in three lines, without jessl.

    The folder also gets README.md, with those lines and the preprocessing of the images, and
    jessl.json, by which jessl opens it again. Before it takes its place the export is loaded back
    and compared with the encoder on random images.

    Example:
        result = jessl.export("my-run", "my-encoder", format="timm")
        print("\\n".join(result.code))

    Args:
        run: a run, any encoder that `jessl.embed` takes, or the folder of a fine-tuning or of a
            classifier.
        log: receives a note on the default format.
        progress: called with (steps done, steps in all).

    Raises:
        ValueError: in one line, with nothing written, for an encoder that cannot be opened, a
            format that cannot hold it, `out` that is not empty, or an export that differs from the
            encoder.
    """
    progress = progress or (lambda _done, _all: None)
    progress(0, _STEPS)
    out = Path(out)
    if format is not None:
        check_choice("format", format, EXPORT_FORMATS)
    _check_out(out, overwrite)
    classified = open_classified(run)
    if classified is not None:
        run = classified.encoder
    encoder, objective, provenance = open_encoder(
        run, init=init, stem=stem, size=size, seed=seed, arch=arch, key=key
    )
    if projector and objective is None:
        raise ValueError("projector: expected a run, whose objective has one, got a bare encoder")
    source = source_of(run, provenance)
    classifier: Objective | None = None
    classes: tuple[str, ...] = ()
    if head and classified is not None:
        classifier, classes = classified.head(encoder), classified.classes
        source["classifier"] = classified.description
    elif head:
        classifier, classes = objective, _classes(objective, source_run(run), run)
    if encoder is run:  # the caller's own: its device and its mode stay
        encoder = copy.deepcopy(encoder).cpu()
    job = ExportJob(
        encoder.eval(),
        objective.eval() if projector and objective is not None else None,
        published=provenance.get("weights") == "published",
        head=None if classifier is None else classifier.eval(),
        classes=classes,
    )
    chosen = pick_format(format, job, log)
    progress(1, _STEPS)
    return _write(job, chosen, out, source, progress)


def _classes(objective: Objective | None, run: runs.Run | None, encoder: object) -> tuple[str, ...]:
    """Names of the classes of a run that was trained with labels."""
    if objective is None or not objective.classifies or run is None:
        name = getattr(encoder, "name", encoder)
        raise ValueError(
            f"head: expected a folder of jessl finetune or classify, or a run that was trained "
            f"with labels (objective supervised), got {name}"
        )
    with torch.no_grad():
        count = objective.classify(torch.zeros(2, run.facts()["dim"])).shape[1]
    names = run.facts().get("classes")
    if isinstance(names, list) and len(names) == count:
        return tuple(map(str, names))
    return tuple(map(str, range(count)))


@torch.no_grad()
def _write(
    job: ExportJob,
    chosen: Format,
    out: Path,
    source: dict[str, object],
    progress: ProgressCallback,
) -> ExportResult:
    encoder = job.encoder
    with full_float32():
        images = sample_images(encoder, _SAMPLES)
        outputs = job.outputs(images)
    if not all(torch.isfinite(o).all() for o in outputs):
        raise ValueError(f"encoder {encoder.name}: its features of random images are not finite")
    description = ExportDescription(
        chosen.name,
        architecture_name(encoder),
        encoder.stem,
        encoder.dim,
        None if job.objective is None else outputs[1].shape[1],
        encoder.preprocess,
        weights_sha256(encoder),
        source,
        job.classes,
    )
    with atomic_directory(out) as part:
        chosen.write(job, part)
        progress(2, _STEPS)
        difference = _check(job, chosen, part, images, outputs)
        progress(3, _STEPS)
        write_json(part / DESCRIPTION, description.as_json())
        write_readme(part / README, chosen, job, description, difference, out.resolve().name)
        names = sorted(p.name for p in part.iterdir())
        assert set(names) <= NAMES, names
        write_checksums(part, [n for n in names if n != README])
    progress(_STEPS, _STEPS)
    return ExportResult(
        out=out,
        format=chosen.name,
        encoder=description.encoder,
        files=tuple(sorted(p.name for p in out.iterdir())),
        preprocess=encoder.preprocess,
        dim=encoder.dim,
        projection=description.projection,
        classes=job.classes,
        code=tuple(chosen.code(job, str(out))),
        weights_sha256=description.weights_sha256,
        max_abs_difference=difference,
        source=source,
    )


def _check(
    job: ExportJob,
    chosen: Format,
    folder: Path,
    images: torch.Tensor,
    outputs: tuple[torch.Tensor, ...],
) -> float:
    """The largest absolute difference between outputs of the export and of the encoder.

    Raises:
        ValueError: where it is more than rounding.
    """
    with full_float32():
        loaded = chosen.load(job, folder)
        # of another number of images than the export was traced with, too
        for n in (len(images), 1):
            again = loaded(images[:n])
            largest = [float((a - b[:n]).abs().max()) for a, b in zip(again, outputs, strict=True)]
            scale = max(1.0, *(float(o.abs().max()) for o in outputs))
            most = _TOLERANCE.get(chosen.name, _SAME_OPERATIONS) * scale
            # a comparison with NaN is false
            if not max(largest) <= most:
                raise ValueError(
                    f"format {chosen.name} does not reproduce encoder {job.encoder.name}: an "
                    f"output differs by {max(largest):.2g}, more than {most:.2g}"
                )
            if n == len(images):
                difference = max(largest)
    return difference


def _check_out(out: Path, overwrite: bool) -> None:
    """Refuse a place that is not empty, but for an earlier export that may be replaced."""
    if out.exists() and not out.is_dir():
        raise ValueError(f"out: expected a new or an empty folder, got the file {out}")
    names = other_names(out)
    if not names:
        return
    if not is_export(out):
        raise ValueError(f"out: expected a new or an empty folder, got {out}, which is no export")
    if not overwrite:
        raise ValueError(
            f"out: {out} holds an export already; give overwrite to replace it, or a new folder"
        )
    read_description(out)
    if others := sorted(names - NAMES):
        raise ValueError(
            f"out: {out} holds {len(others)} files beside an export, first {others[0]}; move them, "
            "or give a new folder"
        )
