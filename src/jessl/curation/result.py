"""What `curate` returns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jessl.core.notebook import WARNING, Described
from jessl.curation.duplicates import Duplicates
from jessl.curation.given_labels import GivenLabels
from jessl.curation.image_faults import ImageFaults
from jessl.curation.label_errors import LabelErrors
from jessl.curation.outliers import Outliers
from jessl.curation.picking.methods import LabelFirst


@dataclass(frozen=True, eq=False, repr=False)
class Curation(Described):
    """What is to be done with a pool of images.

    Attributes:
        names: of the n images.
        labels: those that are given.
        label_first: images to label, None without a budget.
        duplicates, outliers: groups and rows.
        label_errors: of the given labels.
        image_faults: None without the images.
        out: the folder that was written, None without one; page: its HTML file, None without one.
        warnings: reasons to doubt the result.
    """

    names: Sequence[str]
    labels: GivenLabels
    label_first: LabelFirst | None
    duplicates: Duplicates
    outliers: Outliers
    label_errors: LabelErrors
    image_faults: ImageFaults | None
    out: Path | None = None
    page: Path | None = None
    warnings: tuple[str, ...] = ()

    def sentence(self) -> str:
        """The result in one sentence."""
        return f"{self.conclusion}."

    @property
    def conclusion(self) -> str:
        """What was found among how many images, without a full stop.

        Example:
            >>> jessl.curate(z, budget=10).conclusion
            'Of 300 images: 10 images to label first (medoids), no near-duplicates, 2 outliers'
        """
        return f"Of {len(self.names):,} images: {', '.join(self._findings().values())}"

    def describe(self) -> list[tuple[str, str]]:
        """What was found, the folder, the page, and warnings."""
        return [
            *self._findings().items(),
            ("folder", "" if self.out is None else str(self.out)),
            ("page", "" if self.page is None else str(self.page)),
            *((WARNING, text) for text in self.warnings),
        ]

    def _findings(self) -> dict[str, str]:
        """Counts in words, by name."""
        counted = {}
        if self.label_first is not None:
            chosen, method = len(self.label_first.rows), self.label_first.method
            counted["label first"] = f"{_count(chosen, 'image')} to label first ({method})"
        surplus, groups = len(self.duplicates.surplus), len(self.duplicates.groups)
        counted["near-duplicates"] = (
            f"{_count(surplus, 'near-duplicate')} in {_count(groups, 'group')} to leave out"
            if groups
            else "no near-duplicates"
        )
        counted["outliers"] = _count(len(self.outliers.rows), "outlier")
        if self.label_errors.checked:
            suspects = _count(len(self.label_errors.rows), "suspected label error")
            counted["label errors"] = f"{suspects} among {self.label_errors.checked:,} labels"
        if self.image_faults is not None:
            faulty = len(set(self.image_faults.rows.tolist()))
            counted["image faults"] = _count(faulty, "faulty image")
        return counted

    def as_json(self) -> dict[str, object]:
        """Counts and settings as JSON values; the rows are in the CSV files."""
        first, errors, faults = self.label_first, self.label_errors, self.image_faults
        return {
            "images": len(self.names),
            "labelled": len(self.labels.rows),
            "classes": list(self.labels.classes),
            "label_first": None
            if first is None
            else {
                "method": first.method,
                "budget": len(first.rows),
                "names": [self.names[row] for row in first.rows.tolist()],
            },
            "duplicates": {
                "groups": len(self.duplicates.groups),
                "surplus": len(self.duplicates.surplus),
                "radius": self.duplicates.radius,
            },
            "outliers": len(self.outliers.rows),
            "label_errors": {
                "suspected": len(errors.rows),
                "checked": errors.checked,
                "accuracy": errors.accuracy,
                "skipped": errors.skipped or None,
            },
            "image_faults": None
            if faults is None
            else {
                "checked": faults.checked,
                "kinds": dict(Counter(faults.kinds)),
                "unreadable": faults.unreadable,
            },
            "out": self.out and str(self.out),
            "page": self.page and str(self.page),
            "sentence": self.sentence(),
            "warnings": list(self.warnings),
        }


def _count(count: int, what: str) -> str:
    number = f"{count:,}" if count else "no"
    return f"{number} {what}{'' if count == 1 else 's'}"
