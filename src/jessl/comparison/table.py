"""What a comparison of encoders answers: rows, orders, agreement; and its files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jessl.core.files import atomic_write, write_json

# column -> (rule in words, what is larger for what stands first); the sources are in the notes
RULES: dict[str, tuple[str, Any]] = {
    "rankme": ("higher first", lambda v: v),
    "normalized_rank": ("higher first", lambda v: v),
    "lidar": ("higher first", lambda v: v),
    "alpha_req": ("nearest to 1 first", lambda v: -abs(v - 1)),
    "twonn": ("lower first", lambda v: -v),
    "uniformity": ("lower first", lambda v: -v),
    "alignment": ("lower first", lambda v: -v),
    "error": ("lower first", lambda v: -v),
}
SCORES = tuple(name for name in RULES if name != "error")
_PARTS = ("sd", "low", "high", "debiased")


@dataclass(frozen=True, kw_only=True)
class EncoderRow:
    """One encoder; everything but the names is None or empty where it failed.

    Attributes:
        name: short, unlike all others; encoder: its spec; slug: its folder.
        failed: why there are no numbers, in one line.
        method: the objective that trained it, where it is a run.
        weights: where they came from; weights_sha256: of all tensors.
        d: features; input_px: side of the input; parameters; weights_mb, feature_mb_per_1000:
            10^6 bytes.
        cost: ms_per_image of the encoder alone with quartiles, device, batch size, batches.
        scores: score -> `ScoreResult.as_json()`, without labels.
        labelled: error, few-shot errors and risk components, where there are labels.
        to_best: error less that of the best encoder, paired.
        neighbours: the picture, relative to the folder of the table.
        warnings: what makes its numbers doubtful.
    """

    name: str
    encoder: str
    slug: str
    failed: str | None = None
    method: str | None = None
    weights: str | None = None
    weights_sha256: str | None = None
    d: int | None = None
    input_px: int | None = None
    parameters: int | None = None
    weights_mb: float | None = None
    feature_mb_per_1000: float | None = None
    cost: dict[str, Any] | None = None
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    labelled: dict[str, Any] | None = None
    to_best: dict[str, float] | None = None
    neighbours: str | None = None
    warnings: tuple[str, ...] = ()

    def value(self, column: str) -> float | None:
        """The number that a column is ordered by."""
        if column == "error":
            return None if self.labelled is None else self.labelled["error"]["value"]
        return self.scores.get(column, {}).get("value")

    def interval(self, column: str) -> tuple[float, float] | None:
        """Its 95 % interval, where it is known."""
        held = self.scores.get(column, {})
        if column == "error":
            held = (self.labelled or {}).get("error", {})
        low, high = held.get("low"), held.get("high")
        return None if low is None or high is None else (low, high)

    def flat(self) -> dict[str, Any]:
        """A row of the table: one plain value a column, named as in the table of a study."""
        row: dict[str, Any] = {
            "run": self.name,
            "method": self.method,
            **{k: getattr(self, k) for k in ("encoder", "weights", "failed", "d", "input_px")},
            "n_parameters": self.parameters,
            "weights_mb": self.weights_mb,
            "feature_mb_per_1000": self.feature_mb_per_1000,
            "ms_per_image": None if self.cost is None else self.cost["ms_per_image"],
        }
        for name in SCORES:
            held = self.scores.get(name, {})
            row[f"{name}_backbone"] = held.get("value")
            row |= {f"{name}_backbone_{part}": held.get(part) for part in (*_PARTS, "n", "d")}
        if self.labelled is not None:
            row |= self._flat_labelled(self.labelled)
        return row

    def _flat_labelled(self, held: dict[str, Any]) -> dict[str, Any]:
        row: dict[str, Any] = {}
        error, kind = held["error"], held["params"]["kind"]
        found = {f"accuracy_{kind}": error} | {
            f"accuracy_{few['shots']}shot": few for few in held["few_shot"]
        }
        for name, one in found.items():
            row[name] = 1 - one["value"]
            row |= {f"{name}_low": 1 - one["high"], f"{name}_high": 1 - one["low"]}
        if self.to_best is not None:
            row |= {
                "accuracy_to_best": -self.to_best["value"],
                "accuracy_to_best_low": -self.to_best["high"],
                "accuracy_to_best_high": -self.to_best["low"],
            }
        risk = held["risk"]
        named = {} if risk is None else {k: v for k, v in risk.items() if isinstance(v, dict)}
        for key, one in named.items():
            name = "risk_total" if key == "risk" else f"risk_{key}"
            row[name] = one["value"]
            row |= {f"{name}_low": one["low"], f"{name}_high": one["high"]}
        row["risk_merged"] = None if risk is None else risk["merged"]
        return row


@dataclass(frozen=True, kw_only=True)
class Order:
    """Encoders by one column.

    Attributes:
        column: a score, or error.
        rule: what stands first, in words.
        names: best first; encoders without a number are not among them.
        leaders: those whose interval overlaps that of the first (which is one of them); of the
            error those that are not worse than the best by a paired interval.
    """

    column: str
    rule: str
    names: tuple[str, ...]
    leaders: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class EncoderTable:
    """The answer of `compare_encoders`.

    Attributes:
        path: the folder with encoders.json, table.csv and table.parquet.
        rows: an encoder each, in the order asked for.
        notes: what the numbers may and may not be read as, one sentence or two each.
        orders: by each column that at least two encoders have.
        agreement: {"a", "b", "tau", "n"}: Kendall's tau-b between the orders of two columns.
        settings: the images, the views, the probe and the seed.
    """

    path: Path
    rows: tuple[EncoderRow, ...]
    notes: tuple[str, ...]
    orders: tuple[Order, ...]
    agreement: tuple[dict[str, Any], ...]
    settings: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """All fields as values that JSON holds."""
        return {
            "format": "jessl.encoders",
            "version": 1,
            "settings": self.settings,
            "encoders": [{**asdict(row), "warnings": list(row.warnings)} for row in self.rows],
            "orders": [asdict(order) for order in self.orders],
            "agreement": list(self.agreement),
            "notes": list(self.notes),
        }

    def write(self) -> None:
        """Write the three files, each whole or not at all."""
        import pandas as pd

        frame = pd.DataFrame([row.flat() for row in self.rows])
        with atomic_write(self.path / "table.csv") as part:
            frame.to_csv(part, index=False)
        with atomic_write(self.path / "table.parquet") as part:
            frame.to_parquet(part, index=False)
        write_json(self.path / "encoders.json", self.as_json())


def orders_of(rows: Sequence[EncoderRow]) -> tuple[Order, ...]:
    """The orders by each column of which at least two encoders have a number."""
    found = []
    for column, (rule, goodness) in RULES.items():
        known = [(row, v) for row in rows if (v := row.value(column)) is not None]
        if len(known) < 2:
            continue
        known.sort(key=lambda pair: -goodness(pair[1]))
        first = known[0][0]
        leaders = [r.name for r, _ in known if r is first or _close(column, first, r)]
        names = tuple(row.name for row, _ in known)
        found.append(Order(column=column, rule=rule, names=names, leaders=tuple(leaders)))
    return tuple(found)


def _close(column: str, first: EncoderRow, other: EncoderRow) -> bool:
    """Whether the images at hand do not tell the two apart."""
    if column == "error" and other.to_best is not None:
        return other.to_best["low"] <= 0
    a, b = first.interval(column), other.interval(column)
    if a is None or b is None:
        return first.value(column) == other.value(column)
    return a[0] <= b[1] and b[0] <= a[1]


def agreement_of(rows: Sequence[EncoderRow]) -> tuple[dict[str, Any], ...]:
    """Kendall's tau-b between every two columns, over encoders that have both; three at least.

    Both are taken in the direction of their rule, so that 1 says that the two orders are the same
    and -1 that one is the other turned round.
    """
    from scipy.stats import kendalltau

    found = []
    columns = list(RULES)
    for i, a in enumerate(columns):
        for b in columns[i + 1 :]:
            pairs = [(row.value(a), row.value(b)) for row in rows]
            both = [(x, y) for x, y in pairs if x is not None and y is not None]
            if len(both) < 3:
                continue
            x, y = [RULES[a][1](v) for v, _ in both], [RULES[b][1](v) for _, v in both]
            tau = float(kendalltau(x, y).statistic) if len(set(x)) > 1 < len(set(y)) else math.nan
            if math.isfinite(tau):
                found.append({"a": a, "b": b, "tau": tau, "n": len(both)})
    return tuple(found)


def often_first(
    rows: Sequence[EncoderRow], orders: Sequence[Order]
) -> tuple[int, int, list[tuple[str, int]]]:
    """How often each encoder stands in the top third of the orders that use no labels.

    RankMe counts where all encoders have the same d, its share of d where they differ: the two
    are one measure.

    Returns:
        How many places are the top third, how many columns count, and (name, how often), most
        often first.
    """
    same = len({row.d for row in rows if row.d is not None}) < 2
    dropped = {"error", "normalized_rank" if same else "rankme"}
    counted = [order for order in orders if order.column not in dropped]
    most = max((len(order.names) for order in counted), default=0)
    top = max(1, math.ceil(most / 3))
    times = {row.name: sum(row.name in o.names[:top] for o in counted) for row in rows}
    ranked = sorted(((n, k) for n, k in times.items() if k), key=lambda pair: -pair[1])
    return top, len(counted), ranked
