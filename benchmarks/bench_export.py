"""Round trips of exported encoders: every architecture in every format that can hold it.

    OMP_NUM_THREADS=1 python benchmarks/bench_export.py --work exports --record DATE-export.md

Each architecture has random weights, and batch norms with the statistics of random images. The
lines in README.md run in a process that cannot import jessl, for 1 and 5 images; the largest
absolute difference from the encoder's features stands beside the largest feature. Exports for timm,
torchvision and transformers are opened by jessl again and compared in the same way. Goes on where
it was stopped: exports in --work are not written again.
`--encoders timm:resnet18.a1_in1k ... --published` takes published weights, which need the network.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import jessl
from harness import say, tell
from jessl.config import EXPORT_FORMATS
from jessl.core.log import SILENT
from jessl.encoders import Encoder, build_encoder
from jessl.encoders.checkpoints.export_folder import is_export
from jessl.extraction.open_encoder import open_encoder

PACKAGES = ("jessl", "torch", "torchvision", "timm", "transformers", "onnx", "onnxruntime")
# name, stem, side in pixels, features of an expansion
ARCHITECTURES: tuple[tuple[str, str | None, int, int | None], ...] = (
    ("torchvision:resnet18", "standard", 64, None),
    ("timm:resnet18", "small", 32, None),
    ("timm:resnet26t", "standard", 64, None),
    ("timm:vit_tiny_patch16_224", None, 64, None),
    ("timm:convnext_atto", None, 64, None),
    ("timm:mobilenetv3_small_050", None, 64, None),
    ("smallconv:32", None, 32, None),
    ("smallconv:8", None, 16, 256),
    ("resnet_cifar:20", None, 32, None),
)
# runs the lines of a README.md, as a person would, where jessl cannot be imported
LOADER = """
import json, re, sys
class NoJessl:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "jessl":
            raise ImportError("jessl is not here")
sys.meta_path.insert(0, NoJessl())
import numpy as np, torch
torch.set_grad_enabled(False)
for name, format in json.loads(sys.argv[1]):
    code = re.search(r"```python\\n(.*?)```", open(f"{name}/README.md").read(), flags=re.S)[1]
    for n in (1, 5):
        images = np.load(f"{name}.npy")[:n]
        names = {"images": images if format == "onnx" else torch.from_numpy(images)}
        exec(code, names)
        np.save(f"{name}.{n}.out.npy", np.asarray(names["features"]))
assert "jessl" not in sys.modules
"""


@dataclass
class Trip:
    """An export and what came of it.

    Attributes:
        name: of the folder.
        format: of the export.
        wanted: features of the encoder, float32 [5, dim].
        size_mb: of the folder, 10^6 bytes.
        reopened: largest difference where jessl opened it again; None: a program.
    """

    name: str
    format: str
    wanted: np.ndarray
    size_mb: float
    reopened: float | None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--encoders", nargs="+", help="timm:NAME or torchvision:NAME instead")
    parser.add_argument("--published", action="store_true", help="with their published weights")
    parser.add_argument("--formats", nargs="+", default=list(EXPORT_FORMATS))
    parser.add_argument("--work", default="exports", help="folder for the exports")
    parser.add_argument("--record", help="write a record, Markdown")
    args = parser.parse_args()
    architectures = ARCHITECTURES
    if args.encoders:
        architectures = tuple((name, None, 0, None) for name in args.encoders)
    folder = Path(args.work)
    folder.mkdir(parents=True, exist_ok=True)
    table: dict[str, dict[str, Trip | str]] = {}
    for name, stem, size, dim in architectures:
        encoder = _encoder(name, stem, size, dim, published=args.published)
        words = [name, f"{encoder.preprocess.size} px", *([stem + " stem"] if stem else [])]
        title = ", ".join([*words, *([f"expansion to {dim}"] if dim else [])])
        row = table[title] = {}
        for format in args.formats:
            row[format] = _export(encoder, format, folder, f"{len(table)}-{format}")
            say(f"{title}, {format}: {'written' if isinstance(row[format], Trip) else 'refused'}")
    trips = [t for row in table.values() for t in row.values() if isinstance(t, Trip)]
    subprocess.run(
        [sys.executable, "-c", LOADER, json.dumps([(t.name, t.format) for t in trips])],
        cwd=folder,
        check=True,
    )
    say(f"{len(trips)} exports loaded without jessl")
    body = _body(table, args.formats, folder)
    tell("Round trips of exported encoders", PACKAGES, body, args.record)


def _encoder(
    name: str, stem: str | None, size: int, dim: int | None, *, published: bool
) -> Encoder:
    torch.manual_seed(0)
    encoder = build_encoder(name, size=size or None, stem=stem, dim=dim, pretrained=published)
    if not published:
        side = encoder.preprocess.size
        encoder.train()
        with torch.no_grad():
            for _ in range(3):
                encoder(torch.randn(8, 3, side, side))
    return encoder.eval()


@torch.no_grad()
def _export(encoder: Encoder, format: str, folder: Path, name: str) -> Trip | str:
    """The export, or why the format cannot hold the encoder."""
    out = folder / name
    try:
        if not is_export(out):
            jessl.export(encoder, out, format=format, log=SILENT)
    except ValueError as error:
        reason = str(error)
        if "cannot hold" not in reason:
            raise
        return reason.partition(": ")[2].partition(": ")[2].rpartition("; ")[0]
    side = encoder.preprocess.size
    images = torch.randn(5, 3, side, side, generator=torch.Generator().manual_seed(1))
    np.save(folder / f"{name}.npy", images.numpy())
    wanted = encoder(images)
    reopened = None
    if format not in ("onnx", "torch"):
        again, _, _ = open_encoder(str(out))
        assert again.preprocess == encoder.preprocess
        reopened = float((again.eval()(images) - wanted).abs().max())
    size_mb = sum(p.stat().st_size for p in out.iterdir()) / 1e6
    return Trip(name, format, wanted.numpy(), size_mb, reopened)


def _body(
    table: dict[str, dict[str, Trip | str]], formats: Sequence[str], folder: Path
) -> list[str]:
    lines = [
        "Largest absolute difference between the features that the lines of README.md gave in a "
        "process without jessl and those of the encoder, over 1 and 5 random images; then the "
        "largest absolute feature. A dash: the format cannot hold the encoder.",
        "",
        f"| encoder | {' | '.join(formats)} | largest feature |",
        "|---|" + "---:|" * (len(formats) + 1),
    ]
    refused: dict[str, list[str]] = {}
    worst = again = 0.0
    count = 0
    for title, row in table.items():
        cells, largest = [], 0.0
        for format in formats:
            trip = row[format]
            if isinstance(trip, str):
                refused.setdefault(f"{format}: {trip}", []).append(title)
                cells.append("-")
                continue
            difference = max(
                float(np.abs(np.load(folder / f"{trip.name}.{n}.out.npy") - trip.wanted[:n]).max())
                for n in (1, 5)
            )
            largest = float(np.abs(trip.wanted).max())
            worst, count = max(worst, difference), count + 1
            again = max(again, trip.reopened or 0.0)
            cells.append(f"{difference:.1g}")
        lines.append(f"| {title} | {' | '.join(cells)} | {largest:.3g} |")
    trips = [t for row in table.values() for t in row.values() if isinstance(t, Trip)]
    lines += [
        "",
        f"{count} exports; the largest difference is {worst:.1g}. jessl opened "
        f"{sum(t.reopened is not None for t in trips)} of them again (programs are not opened): "
        f"the largest difference is {again:.1g}, the preprocessing the same.",
        "",
        "| format | exports | MB (range) |",
        "|---|---:|---:|",
    ]
    for format in formats:
        own = [t for t in trips if t.format == format]
        if own:
            lines.append(f"| {format} | {len(own)} | {_range([t.size_mb for t in own])} |")
    lines += ["", "Refused:", ""]
    lines += [f"- {reason} ({'; '.join(titles)})" for reason, titles in refused.items()]
    return lines


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}"


if __name__ == "__main__":
    main()
