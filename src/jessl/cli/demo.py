"""The command `jessl demo`."""

from __future__ import annotations

from dataclasses import dataclass

from jessl.cli._command import Command, JsonObject, ValueRangeOption
from jessl.cli._output import print_conclusion, print_lines, print_next, print_table
from jessl.cli._signals import end_if_stopped, stop_on_signals


@dataclass(frozen=True, kw_only=True)
class DemoCommand(Command):
    """Try jessl on real images: train several encoders and choose one without labels, then see what
    a few labels are worth on it, beside raw pixels and the same net untrained.

    Attributes:
        data: SRC; digits is part of the installation. Labels, if there are any, are used for the
            final check only.
        labels: CSV file with columns path,label.
        out: study folder to write; the same command continues an interrupted study.
        quick: a smaller study in under 90 seconds.
        epochs: epochs of each run; None: as many as a few minutes allow on two cores.
        images: largest number of images; None: 6000, and 2000 with --quick.
        workers: runs at a time, one core each; None: the cores of the machine, at most 8.
        x_key: name of the images in an .npz file; None: x, images, data or arr_0.
        y_key: name of the labels in an .npz file; None: y, labels or targets.
        bits: bits in use of images stored in more than 8 bits a channel: 2^bits - 1 becomes white,
            larger values are clipped. 9 to 16; None: 65535 is white.
        value_range: the stored values that become black and white, instead of --bits; it also opens
            floating-point and signed images.
    """

    data: str = "digits"
    labels: str | None = None
    out: str = "demo"
    quick: bool = False
    epochs: int | None = None
    images: int | None = None
    workers: int | None = None
    x_key: str | None = None
    y_key: str | None = None
    bits: int | None = None
    value_range: ValueRangeOption = None

    def run(self) -> JsonObject:
        """Run the study and write its report."""
        from jessl.data.options import data_options
        from jessl.demo import demo
        from jessl.report import write_report

        with stop_on_signals("the same command continues") as stop:
            study = demo(
                self.data,
                out=self.out,
                quick=self.quick,
                epochs=self.epochs,
                images=self.images,
                workers=self.workers,
                **data_options(self),
                stop=stop,
            )
            report = write_report(self.out)
            end_if_stopped(stop, report)
        return {**study, "report": str(report)}

    def show(self, result: JsonObject) -> None:
        """What few labels are worth, the choices and their cost, and how to use the encoder."""
        print_conclusion(result)
        for finding in result["findings"][1:]:
            print_lines(f"- {finding}")
        if few := result.get("few_labels"):
            _print_few_labels(few)
        print_lines("", f"report: {result['report']}")
        print_next(result["next"])


def _print_few_labels(few: JsonObject) -> None:
    """Accuracies with few labels, a row for each encoder."""
    titles = [f"{one['shots']} a class" for one in next(iter(few.values()))]
    rows = [
        [name, *(f"{100 * one['value']:.1f} %" for one in results)] for name, results in few.items()
    ]
    print_lines("")
    print_table(["labels", *titles], rows)
