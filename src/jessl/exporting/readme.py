"""README.md of an export: how to load it, what images it expects, where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from jessl.core.files import atomic_write
from jessl.core.validation import escape_control
from jessl.encoders import Preprocess
from jessl.encoders.checkpoints.export_folder import PROGRAMS, ExportDescription
from jessl.exporting._format import ExportJob, Format
from jessl.extraction.reading import TRAINED_ON
from jessl.records import versions

_LABELS = {
    "weights": "weights",
    "objective": "objective",
    "data": "images",
    "epochs": "epochs",
    "step": "optimizer steps",
    "init": "started from",
    "classifier": "classifier",
    "format": "names in the file",
    "prefix": "prefix in the file",
}


def write_readme(
    path: Path,
    chosen: Format,
    job: ExportJob,
    description: ExportDescription,
    difference: float,
    name: str,
) -> None:
    """Write README.md.

    Args:
        path: of the file.
        chosen: the format.
        job: what was exported.
        description: the content of jessl.json.
        difference: largest absolute difference to the encoder.
        name: of the folder, which the lines of code name.
    """
    text = "\n".join(
        [
            *_head(chosen, job, description, name),
            *_loading(chosen, job, name),
            *_images(description),
            *_origin(description, difference),
            *_taking_back(description, name),
        ]
    )
    with atomic_write(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def describe_images(
    p: Preprocess, trained_on: Mapping[str, Any] | None = None
) -> list[tuple[str, str]]:
    """What is done to an image before the encoder sees it, as (title, text).

    Args:
        p: preprocessing of the encoder.
        trained_on: how the images of its training were read (`reading_of`); None: unknown.
    """
    bands, low_high = _reading(trained_on)
    channels = f"{len(p.mean)}"
    if bands:
        channels += f", the bands {', '.join(bands)} in this order"
    elif not _is_bands(p, trained_on):
        channels = "3, RGB; grey images three times"
    crop = "the whole" if p.crop_share == 1 else f"{100 * p.crop_share:.1f} %"
    return [
        ("channels", channels),
        ("crop", f"the central square, {crop} of the short side"),
        ("size", f"{p.size} x {p.size} pixels, bilinear, antialiased"),
        ("pixels", f"{_white(p, trained_on, low_high)}, then minus mean, divided by std"),
        ("mean", ", ".join(f"{v:g}" for v in p.mean)),
        ("std", ", ".join(f"{v:g}" for v in p.std)),
    ]


def _reading(
    trained_on: Mapping[str, Any] | None,
) -> tuple[tuple[str, ...], tuple[float, float] | None]:
    """Names of the bands, and the values of black and white; exports may be a stranger's."""
    trained_on = trained_on if isinstance(trained_on, Mapping) else {}
    bands, ends = trained_on.get("bands"), trained_on.get("value_range")
    names = tuple(map(str, bands)) if isinstance(bands, list) else ()
    if not (isinstance(ends, list) and [type(v) for v in ends] in ([float] * 2, [int] * 2)):
        return names, None
    return names, (float(ends[0]), float(ends[1]))


def _is_bands(p: Preprocess, trained_on: Mapping[str, Any] | None) -> bool:
    return len(p.mean) != 3 or bool(_reading(trained_on)[0])


def _white(
    p: Preprocess, trained_on: Mapping[str, Any] | None, low_high: tuple[float, float] | None
) -> str:
    deep = ""
    if low_high is not None:
        deep = f"values of more than 8 bits from {low_high[0]:.10g} to {low_high[1]:.10g} become "
    if not _is_bands(p, trained_on):
        return f"{deep}0 to 255, others are clipped; divided by 255" if deep else "divided by 255"
    if deep:
        return f"{deep}0 to 1, others are clipped (8 bits: divided by 255)"
    return "divided by 255 (8 bits) or 65535 (16 bits)"


def preprocessing_code(p: Preprocess, trained_on: Mapping[str, Any] | None = None) -> list[str]:
    """The preprocessing as transforms of torchvision; arguments are those of `describe_images`."""
    if _is_bands(p, trained_on):
        low_high = _reading(trained_on)[1]
        low, high = ("0", "np.iinfo(bands.dtype).max")
        if low_high is not None:
            low, high = (f"{value:.10g}" for value in low_high)
        return [
            "import numpy as np",
            "import torch",
            "from torchvision.transforms import v2",
            "transform = v2.Compose([",
            f"    v2.Resize({round(p.size / p.crop_share)}, antialias=True),",
            f"    v2.CenterCrop({p.size}), v2.Normalize({list(p.mean)}, {list(p.std)}),",
            "])",
            f"# bands: a numpy array [height, width, {len(p.mean)}] of the stored values",
            f"low, high = {low}, {high}",
            'pixels = ((bands.astype("float32") - low) / (high - low)).clip(0, 1)',
            "images = transform(torch.from_numpy(pixels).permute(2, 0, 1))[None]",
        ]
    return [
        "import torch",
        "from torchvision.transforms import v2",
        "transform = v2.Compose([",
        "    v2.ToImage(), v2.RGB(),",
        f"    v2.Resize({round(p.size / p.crop_share)}, antialias=True), v2.CenterCrop({p.size}),",
        "    v2.ToDtype(torch.float32, scale=True),",
        f"    v2.Normalize({list(p.mean)}, {list(p.std)}),",
        "])",
        "images = transform(pil_image)[None]",
    ]


def _head(chosen: Format, job: ExportJob, d: ExportDescription, name: str) -> list[str]:
    millions = sum(p.numel() for p in job.encoder.parameters()) / 1e6
    outputs = f"{d.dim} features"
    if d.projection is not None:
        outputs += f" and a projection to {d.projection} numbers"
    is_small = d.stem == "small" and job.library in ("timm", "torchvision")
    if job.head is not None:
        outputs += f" and {len(job.classes)} classes"
    stem = ", small stem (3x3, stride 1, no max-pool)" if is_small else ""
    return [
        f"# {escape_control(name)}",
        "",
        f"An image encoder: {outputs} for each image of {d.preprocess.size} x {d.preprocess.size} "
        f"pixels. Architecture {d.encoder}{stem}, {millions:,.1f} million parameters. "
        f"A {chosen.title}, written by `jessl export` on {datetime.now(UTC):%Y-%m-%d}.",
    ]


def _loading(chosen: Format, job: ExportJob, name: str) -> list[str]:
    pixels = job.encoder.preprocess
    kind = "a numpy array" if chosen.name == "onnx" else "a tensor"
    return [
        "",
        "## Load it",
        "",
        "```python",
        *chosen.code(job, name),
        "```",
        "",
        f"`images` is {kind} float32 [batch, {job.encoder.channels}, {pixels.size}, {pixels.size}] "
        f"of normalised pixels (below), `features` [batch, {job.encoder.dim}]. jessl is not "
        "needed. The lines run in the folder that holds this one. Checked with "
        f"{', '.join(_installed(chosen))}.",
        *_classes(job),
        *chosen.remarks(job),
    ]


def _classes(job: ExportJob) -> list[str]:
    """The names of the classes, in the order of the logits."""
    if job.head is None:
        return []
    names = "; ".join(escape_control(name) for name in job.classes)
    return [
        "",
        f"`logits` [batch, {len(job.classes)}]; the softmax of a row has the probabilities "
        f"of the classes, in this order: {names}",
    ]


def _installed(chosen: Format) -> list[str]:
    texts = []
    for package in dict.fromkeys(("torch", *chosen.packages)):
        try:
            texts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return texts


def _images(d: ExportDescription) -> list[str]:
    known = d.source.get(TRAINED_ON)
    trained_on = known if isinstance(known, Mapping) else None
    return [
        "",
        "## Images",
        "",
        "| | |",
        "|---|---|",
        *(
            f"| {title} | {_cell(text)} |"
            for title, text in describe_images(d.preprocess, trained_on)
        ),
        "",
        "The same with torchvision, up to the rounding of pixels:",
        "",
        "```python",
        *preprocessing_code(d.preprocess, trained_on),
        "```",
    ]


def _origin(d: ExportDescription, difference: float) -> list[str]:
    rows = [(_LABELS[k], _value(d.source[k])) for k in _LABELS if k in d.source]
    return [
        "",
        "## Where it came from",
        "",
        "| | |",
        "|---|---|",
        *(f"| {title} | {_cell(text)} |" for title, text in rows),
        f"| SHA-256 of the encoder's tensors | `{d.weights_sha256}` |",
        f"| written by | {versions()} |",
        "",
        "After writing, the files were loaded back: on random images the largest difference from "
        f"the encoder's outputs was {difference:.2g}. `checksums.json` has the SHA-256 of the "
        "other files.",
    ]


def _taking_back(d: ExportDescription, name: str) -> list[str]:
    lines = ["", "## In jessl", ""]
    if d.format in PROGRAMS:
        return [
            *lines,
            "jessl does not open programs again: they are code. Use what this was exported from.",
        ]
    place = escape_control(name)
    return [
        *lines,
        "```sh",
        f"jessl embed '{place}' --data IMAGES --out embeddings",
        "```",
    ]


def _value(value: object) -> str:
    return f"{value:,g}" if isinstance(value, float) else str(value)


def _cell(text: str) -> str:
    return escape_control(text).replace("|", "\\|")
