"""Several labels for each image: a calibrated logistic probe a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.classification.accuracy import share_interval
from jessl.classification.classifier import EmbeddingClassifier
from jessl.classification.distance import LabelledNeighbours
from jessl.classification.files import check_shapes
from jessl.classification.outcome import Outcome, shortened
from jessl.core.progress import ProgressCallback
from jessl.embeddings import Embeddings
from jessl.probes.linear import LinearProbe

_HALF = 0.5


@dataclass(frozen=True, eq=False)
class MultiLabel:
    """A probe of each label: does an image have it?

    Attributes:
        labels: names, sorted.
        weights: float64 [d, labels]; bias: [labels]: the logit of "has it", on standardised
            features, divided by the temperature.
        mean, scale: float64 [d] of the standardisation.
        neighbours: labelled rows that distances refer to.
        held_out: for each label the counts (right with, missed, wrongly added, right without) of
            held-out rows; None where no row can be held out.
        exact: held-out rows whose labels are all right; rows: how many there are.
    """

    labels: tuple[str, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    neighbours: LabelledNeighbours
    held_out: tuple[tuple[int, int, int, int] | None, ...]
    exact: int
    rows: int

    @classmethod
    def fit(
        cls,
        x: Embeddings,
        sets: Sequence[frozenset[str]],
        *,
        seed: int = 0,
        progress: ProgressCallback | None = None,
    ) -> MultiLabel:
        """Fit a probe for each label that some but not all images have.

        Args:
            x: the labelled rows.
            sets: the labels of each.
            progress: called with (labels fitted, labels in all).

        Raises:
            ValueError: where every image has the same labels.
        """
        names = sorted({name for one in sets for name in one})
        used = [name for name in names if 0 < sum(name in one for one in sets) < len(sets)]
        if not used:
            raise ValueError(
                "labels: expected labels that some images have and others lack, got the same "
                f"labels for all {len(sets)} images"
            )
        columns: list[tuple[NDArray[np.float64], float]] = []
        held_out: list[tuple[int, int, int, int] | None] = []
        right = np.ones(len(sets), bool)
        probe: LinearProbe | None = None
        for k, name in enumerate(used):
            y = np.array([int(name in one) for one in sets])
            one = EmbeddingClassifier(seed=seed).fit(x, y)
            probe = one.probe_
            columns.append(
                (
                    (probe.weights[:, 1] - probe.weights[:, 0]) / one.temperature_,
                    float(probe.bias[1] - probe.bias[0]) / one.temperature_,
                )
            )
            # two classes: wrong held-out predictions are the other class
            if len(one.held_out_wrong_):
                wrong, has = one.held_out_wrong_, y == 1
                counts = (has & ~wrong, has & wrong, ~has & wrong, ~has & ~wrong)
                held_out.append(tuple(int(part.sum()) for part in counts))  # type: ignore[arg-type]
                right &= ~wrong
            else:
                held_out.append(None)
                right[:] = False
            if progress is not None:
                progress(k + 1, len(used))
        assert probe is not None
        return cls(
            tuple(used),
            probe.mean,
            probe.scale,
            np.stack([weights for weights, _ in columns], axis=1),
            np.array([bias for _, bias in columns]),
            LabelledNeighbours.of(x.features, seed),
            tuple(held_out),
            int(right.sum()),
            len(sets),
        )

    def announcement(self) -> list[str]:
        """Share of images with all labels right, and the labels that are recognised worst."""
        known = [(name, c) for name, c in zip(self.labels, self.held_out, strict=True) if c]
        if len(known) < len(self.labels):
            alone = next(n for n, c in zip(self.labels, self.held_out, strict=True) if not c)
            lines = [
                f"Expected accuracy: cannot be estimated for {len(self.labels) - len(known)} "
                f"labels, which fewer than two images have or lack; the first is {alone!r}"
            ]
        else:
            low, high = share_interval(self.exact, self.rows)
            lines = [
                f"Expected share of images with all {len(self.labels)} labels right: "
                f"{100 * self.exact / self.rows:.1f} % (95 % interval {100 * low:.1f} to "
                f"{100 * high:.1f}), from {self.rows:,} labelled images"
            ]
        if known:
            hits, missed, added = (sum(c[k] for _, c in known) for k in range(3))
            lines.append(
                f"Of the labels that images have, {_percent(hits, hits + missed)} are found; of "
                f"those that are predicted, {_percent(hits, hits + added)} are right"
            )
        return lines

    def as_json(self) -> dict[str, object]:
        """The same as JSON values."""
        low, high = share_interval(self.exact, self.rows)
        known = all(self.held_out)
        return {
            "expected_accuracy": self.exact / self.rows if known else None,
            "low": low if known else 0.0,
            "high": high if known else 1.0,
            "labels": {
                name: None if c is None else dict(zip(_COUNTS, c, strict=True))
                for name, c in zip(self.labels, self.held_out, strict=True)
            },
        }

    def outcome(self, z: Embeddings) -> Outcome:
        """Labels with a probability of at least a half, and the probability of each label."""
        step = max(1, 2**22 // z.d)
        parts, far = [], []
        for start in range(0, len(z), step):
            x = np.asarray(z.features[start : start + step])
            logit = ((x - self.mean) / self.scale) @ self.weights + self.bias
            parts.append(1 / (1 + np.exp(-np.clip(logit, -50, 50))))
            far.append(self.neighbours.quantile(x))
        probability, distance = np.concatenate(parts), np.concatenate(far)
        texts = [
            ";".join(self.labels[k] for k in np.flatnonzero(row >= _HALF)) for row in probability
        ]
        sureness = np.abs(probability - _HALF).min(axis=1)
        return Outcome(
            {
                "labels": texts,
                **{f"p {name}": probability[:, k] for k, name in enumerate(self.labels)},
                "distance": distance,
                "far": LabelledNeighbours.far(distance),
            },
            [text or "no label" for text in texts],
            sureness,
            [
                (f"{shortened(self.labels[k])} {100 * row[k]:.0f} %",)
                for row in probability
                for k in [int(np.abs(row - _HALF).argmin())]
            ],
        )

    def state(self) -> tuple[dict[str, object], dict[str, NDArray[np.generic]]]:
        """JSON values and arrays that `restored` takes."""
        values = {
            "kind": "multi-label",
            "labels": list(self.labels),
            "features": len(self.mean),
            "held_out": [None if c is None else list(c) for c in self.held_out],
            "exact": self.exact,
            "rows": self.rows,
        }
        names = ("mean", "scale", "weights", "bias")
        arrays = {name: getattr(self, name) for name in names}
        near = self.neighbours
        return values, arrays | {"neighbours": near.rows, "distances": near.distances}

    @classmethod
    def restored(cls, values: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> MultiLabel:
        """What `state` gave."""
        d, labels = int(values["features"]), tuple(map(str, values["labels"]))
        shapes = {"mean": (d,), "scale": (d,), "weights": (d, len(labels)), "bias": (len(labels),)}
        check_shapes(arrays, {**shapes, "neighbours": (len(arrays["distances"]), d)})
        return cls(
            labels,
            arrays["mean"],
            arrays["scale"],
            arrays["weights"],
            arrays["bias"],
            LabelledNeighbours(arrays["neighbours"], arrays["distances"]),
            tuple(None if c is None else (c[0], c[1], c[2], c[3]) for c in values["held_out"]),
            int(values["exact"]),
            int(values["rows"]),
        )


_COUNTS = ("right_with", "missed", "added", "right_without")


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "none"
