"""The command demo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jessl.cli._base import Interrupted, stoppable, table


@dataclass(kw_only=True)
class DemoCommand:
    """The whole story on real images: train, judge without labels, choose, reveal, explain.

    Attributes:
        data: SRC; digits is embedded in the installation. Labels, where there are some, are
            hidden from everything but the closing check.
        labels: CSV file with columns path,label.
        out: study folder to write; a study that was interrupted goes on.
        quick: a smaller study in under 90 seconds.
        epochs: of each run; None: as many as a few minutes allow on two cores.
        images: how many images at most; None: 6000, and 2000 with --quick.
        workers: runs at a time, one core each; None: the cores of the machine, at most 8.
        x_key: name of the images in an .npz file; None: x, images, data or arr_0.
        y_key: name of the labels in an .npz file; None: y, labels or targets.
        json: print the answer as JSON on standard output.
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
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Tell the story."""
        from jessl.core.interruption import Stopped
        from jessl.demo import demo
        from jessl.report import write_report

        with stoppable() as stop:
            try:
                study = demo(
                    self.data,
                    out=self.out,
                    labels=self.labels,
                    quick=self.quick,
                    epochs=self.epochs,
                    images=self.images,
                    workers=self.workers,
                    x_key=self.x_key,
                    y_key=self.y_key,
                    stop=stop,
                )
            except Stopped as stopped:
                raise Interrupted(f"{stopped}; the same command goes on") from None
        return {**study, "report": str(write_report(self.out))}

    def show(self, answer: dict[str, Any]) -> None:
        """The closing table and what was found."""
        from jessl.demo import closing_table

        headers, rows = closing_table(answer)
        table(headers, rows)
        print()
        for finding in answer["findings"]:
            print(f"- {finding}")
        print(f"\nreport: {answer['report']}")
