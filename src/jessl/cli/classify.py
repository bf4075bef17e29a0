"""The command `jessl classify`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field

from jessl.cli._command import Command, JsonObject, ValueRangeOption
from jessl.cli._inputs import open_images
from jessl.cli._output import print_conclusion, print_left_out, print_lines, print_next, print_table
from jessl.cli._signals import stop_on_signals
from jessl.config import Classify

_MOST_CLASSES = 30


@dataclass(frozen=True, kw_only=True)
class ClassifyCommand(Command, Classify):
    """Predict the labels of all images from those of a few, on features of any encoder.

    The accuracy to expect is printed before anything is predicted. The same command continues
    after a kill.

    Attributes:
        x_key: name of the images in an .npz file.
    """

    out: str = field()
    x_key: str | None = None
    value_range: ValueRangeOption = None

    def run(self) -> JsonObject:
        """Classify."""
        from jessl.classification.classify import classify
        from jessl.core.progress import ProgressBar

        with (
            ProgressBar("embedding", unit="images") as bar,
            stop_on_signals("the same command continues") as stop,
        ):
            source = open_images(_Images(self.data, self.x_key, self.bits, self.value_range))
            already = dict.fromkeys(("bits", "value_range"))
            result = classify(self, source=source, **already, progress=bar.update, stop=stop)
        classifier = shlex.quote(str(result.classifier))
        return {
            **result.as_json(),
            "notes": list(source.notes),
            "next": [f"jessl classify --classifier {classifier} --data OTHERS --out others.csv"],
        }

    def show(self, result: JsonObject) -> None:
        """Counts of predicted classes, files, and the next command."""
        print_conclusion(result)
        by_count = sorted(result["predicted_as"].items(), key=lambda item: -item[1])
        if result["out"] is None:
            print_lines(f"classifier   {result['classifier']}")
            print_next(result["next"])
            print_left_out(result["unreadable"])
            return
        if result["task"] != "regression":
            print_table(["predicted", "images"], [list(pair) for pair in by_count[:_MOST_CLASSES]])
        if len(by_count) > _MOST_CLASSES:
            print_lines(f"... and {len(by_count) - _MOST_CLASSES} more classes")
        parts = [f"{result['far']:,} far from every labelled image"] if result["far"] else []
        parts += [f"{result['abstained']:,} abstentions"] if result["abstained"] else []
        print_lines("", *([", ".join(parts)] if parts else []))
        print_lines(f"predictions  {result['out']}")
        if result["page"]:
            print_lines(f"page         {result['page']}")
        print_lines(f"classifier   {result['classifier']}")
        print_next(result["next"])
        print_left_out(result["unreadable"])


@dataclass(frozen=True)
class _Images:
    """The options that name the images; the labels are read later."""

    data: str
    x_key: str | None
    bits: int | None
    value_range: tuple[float, float] | None
