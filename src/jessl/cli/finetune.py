"""The command `jessl finetune`."""

from __future__ import annotations

from dataclasses import dataclass, field

from jessl.cli._command import Command, JsonObject, ValueRangeOption, options_of
from jessl.cli._inputs import open_images
from jessl.cli._output import print_lines, print_table
from jessl.cli._signals import stop_on_signals
from jessl.config import Finetune


@dataclass(frozen=True, kw_only=True)
class FinetuneCommand(Command, Finetune):
    """Train an encoder on with labels, and keep it where it is ahead of the frozen probe.

    The labelled images are divided by class into folds: for each, the network is trained on the
    others, the probe of the frozen encoder is fitted on the same images, and both predict the fold.
    What is kept is trained again on all labelled images, and OUT/classifier predicts with it. That
    is up to 5 trainings of about 400 steps each, 2 from 2,000 labelled images on; --folds sets how
    many. The same command continues after a kill.
    """

    data: str = field()
    out: str = field()
    init: str = field()
    value_range: ValueRangeOption = None

    def run(self) -> JsonObject:
        """Train and compare."""
        from jessl.classification.finetune import finetune
        from jessl.core.progress import ProgressBar

        with (
            ProgressBar("embedding", unit="images") as bar,
            stop_on_signals("the same command continues") as stop,
        ):
            source = open_images(
                _ImageOptions(self.data, self.x_key, self.y_key, self.bits, self.value_range)
            )
            result = finetune(
                options_of(Finetune, self), source=source, progress=bar.update, stop=stop
            )
        return {**result.as_json(), "notes": list(source.notes)}

    def show(self, result: JsonObject) -> None:
        """Both accuracies, the difference, and the next command."""
        difference = result["difference"]
        rows = [
            [name, f"{100 * difference[key]:.1f} %", "kept" if result["kept"] == kept else ""]
            for name, key, kept in (
                ("fine-tuned", "first", "finetuned"),
                ("frozen probe", "second", "probe"),
            )
        ]
        print_table(["", f"accuracy on {result['compare']:,} images", ""], rows)
        print_lines(
            "",
            result["summary"],
            f"run          {result['run']}",
            f"classifier   {result['classifier']}",
            "",
            f"on other images: jessl classify --classifier {result['classifier']} --data SRC --out "
            "FILE.csv",
        )
        print_lines(f"in other libraries: jessl export {result['out']} NET --head")


@dataclass(frozen=True)
class _ImageOptions:
    """The options that name the images; the labels are read later."""

    data: str
    x_key: str | None
    y_key: str | None
    bits: int | None
    value_range: tuple[float, float] | None
