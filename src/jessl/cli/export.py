"""The command `jessl export`."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from jessl.cli._command import Command, JsonObject
from jessl.cli._output import print_lines
from jessl.config import Export


@dataclass(frozen=True, kw_only=True)
class ExportCommand(Command, Export):
    """Write an encoder as files that timm, torchvision, transformers, onnxruntime or torch load in
    three lines, without jessl.

    OUT also gets README.md with these lines and the preprocessing of the images. Checkpoints of
    other libraries (ckpt:FILE) are converted in the same way. The files are loaded back and
    compared with the encoder before they take their place. jessl takes exports back by the name of
    their folder (formats timm, torchvision and transformers).
    """

    encoder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="ENCODER")] = field()
    out: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")] = field()

    def run(self) -> JsonObject:
        """Export, and describe the result."""
        from jessl.core.progress import ProgressBar
        from jessl.exporting.export import export

        with ProgressBar("exporting", unit="steps") as bar:
            result = export(self, progress=bar.update)
        return {
            **asdict(result),
            "out": self.out,
            "files": list(result.files),
            "classes": list(result.classes),
            "code": list(result.code),
            "preprocess": asdict(result.preprocess) | {"interpolation": "bilinear"},
        }

    def show(self, result: JsonObject) -> None:
        """What was written, what images it expects, and the lines that load it."""
        from jessl.encoders import Preprocess
        from jessl.encoders.checkpoints.export_folder import PROGRAMS, README
        from jessl.exporting.formats import FORMATS
        from jessl.exporting.readme import describe_images

        pixels = {k: v for k, v in result["preprocess"].items() if k != "interpolation"}
        outputs = f"{result['dim']} features"
        if result["projection"] is not None:
            outputs += f" and a projection to {result['projection']}"
        if result["classes"]:
            outputs += f" and {len(result['classes'])} classes"
        print_lines(
            f"{result['out']}: {FORMATS[result['format']].title}, {result['encoder']}, {outputs}",
            f"loaded back: the same outputs, largest difference {result['max_abs_difference']:.2g}",
            *(
                f"{title}: {text}"
                for title, text in describe_images(
                    Preprocess(**pixels), result["source"].get("trained_on")
                )
            ),
            "",
            *result["code"],
            "",
            f"{Path(result['out']) / README}: these lines, and the preprocessing as code",
        )
        if result["format"] not in PROGRAMS:
            print_lines(f"in jessl: jessl embed {shlex.quote(result['out'])} --data SRC --out z")
