"""What a fine-tuning compared and kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jessl.classification.finetune_folder import CLASSIFIER
from jessl.classification.paired import PairedDifference
from jessl.core.notebook import WARNING, Described


@dataclass(frozen=True, repr=False)
class FinetuneResult(Described):
    """What `finetune` compared and kept.

    Attributes:
        out: the folder; classifier: the one in it that `jessl.classify` takes.
        run: run of the fine-tuned network, on all labelled images where it was kept.
        kept: "finetuned" or "probe".
        summary: one sentence that compares both and names what is kept.
        difference: accuracy of the fine-tuned network minus that of the frozen probe.
        train, stop: images that the first trial was trained on and stopped by; compare: images
            that were compared on, in all trials.
        classes: names of the classes.
        epochs: of the fine-tuning; of several trials the mean.
        refit: whether what is kept was trained again on all labelled images.
        flip: probability of a horizontal flip in the trainings.
        folds: trials; 1: one part was held out.
        warnings: reasons to doubt the result.
    """

    out: Path
    classifier: Path
    run: Path
    kept: str
    summary: str
    difference: PairedDifference
    train: int
    stop: int
    compare: int
    classes: tuple[str, ...]
    epochs: int
    refit: bool
    flip: float = 0.5
    folds: int = 1
    warnings: tuple[str, ...] = ()

    @property
    def conclusion(self) -> str:
        """Which of both is kept and why, in one sentence without a full stop."""
        return self.summary.removesuffix(".")

    def describe(self) -> list[tuple[str, str]]:
        """The classifier, what it was compared on, and the next line of code."""
        classifier = str(self.classifier)
        return [
            ("classifier", classifier),
            ("compared on", f"{self.compare:,} images of {len(self.classes)} classes"),
            ("next", f'jessl.classify(SRC, classifier={classifier!r}, out="predictions.csv")'),
            *((WARNING, text) for text in self.warnings),
        ]

    def as_json(self) -> dict[str, object]:
        """All fields as JSON values."""
        values = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        return values | {"classes": list(self.classes), "warnings": list(self.warnings)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any], out: Path) -> FinetuneResult:
        """The inverse of `as_json`, of a folder that may have moved to `out`."""
        run = out / Path(values["run"]).name
        return cls(
            **{
                **values,
                "out": out,
                "classifier": out / CLASSIFIER,
                "run": run,
                "difference": PairedDifference(**values["difference"]),
                "classes": tuple(values["classes"]),
                "warnings": tuple(values["warnings"]),
            }
        )
