"""The result of a comparison of encoders: rows, orders, agreement; and its files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jessl.core.csv_files import write_csv
from jessl.core.files import atomic_write, write_json
from jessl.core.notebook import Described, percent
from jessl.core.rank_correlation import kendall
from jessl.schema import SUFFIXES, accuracy_column, component_column, score_column

# column -> (rule in words, its utility: largest first); the sources are in the notes
RULES: dict[str, tuple[str, Callable[[float], float]]] = {
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


@dataclass(frozen=True, kw_only=True)
class EncoderRow:
    """One encoder; everything but the names is None or empty where it failed.

    Attributes:
        name: short and unique; encoder: its spec; slug: its folder.
        failed: the reason why there are no numbers, in one line.
        method: the objective that trained it, if it is a run.
        weights: their origin; weights_sha256: of all tensors.
        d: features; input_px: side of the input; parameters; weights_mb, feature_mb_per_1000:
            10^6 bytes.
        cost: ms_per_image of the encoder alone with quartiles, device, batch size, batches.
        scores: score -> `ScoreResult.as_json()`, without labels.
        labelled: error, few-shot errors and risk components, where there are labels.
        to_best: difference of the error to that of the best encoder, paired.
        neighbours: the picture, relative to the folder of the table.
        warnings: reasons to doubt its numbers.
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
    cost: Mapping[str, float | int | str | bool] | None = None
    scores: dict[str, dict[str, Any]] = field(default_factory=dict)
    labelled: dict[str, Any] | None = None
    to_best: dict[str, float] | None = None
    neighbours: str | None = None
    warnings: tuple[str, ...] = ()

    def value(self, column: str) -> float | None:
        """The number by which a column is ordered."""
        if column == "error":
            return None if self.labelled is None else self.labelled["error"]["value"]
        return self.scores.get(column, {}).get("value")

    def interval(self, column: str) -> tuple[float, float] | None:
        """Its 95 % interval, where it is known."""
        result = self.scores.get(column, {})
        if column == "error":
            result = (self.labelled or {}).get("error", {})
        low, high = result.get("low"), result.get("high")
        return None if low is None or high is None else (low, high)

    def flat(self) -> dict[str, object]:
        """A row of the table: one plain value per column, named as in a table of runs (schema)."""
        row: dict[str, object] = {
            "run": self.name,
            "method": self.method,
            **{k: getattr(self, k) for k in ("encoder", "weights", "failed", "d", "input_px")},
            "n_parameters": self.parameters,
            "weights_mb": self.weights_mb,
            "feature_mb_per_1000": self.feature_mb_per_1000,
            "ms_per_image": None if self.cost is None else self.cost["ms_per_image"],
        }
        for name in SCORES:
            result, column = self.scores.get(name, {}), score_column(name, "backbone")
            row[column] = result.get("value")
            row |= {f"{column}_{suffix}": result.get(suffix) for suffix in SUFFIXES}
        if self.labelled is not None:
            row |= self._flat_labelled(self.labelled)
        return row

    def _flat_labelled(self, labelled: dict[str, Any]) -> dict[str, float | None]:
        row: dict[str, float | None] = {}
        errors = {accuracy_column(labelled["params"]["kind"]): labelled["error"]} | {
            accuracy_column(f"{few['shots']}shot"): few for few in labelled["few_shot"]
        }
        for name, error in errors.items():
            row[name] = 1 - error["value"]
            row |= {f"{name}_low": 1 - error["high"], f"{name}_high": 1 - error["low"]}
        if self.to_best is not None:
            name = accuracy_column("to_best")
            row[name] = -self.to_best["value"]
            row |= {f"{name}_low": -self.to_best["high"], f"{name}_high": -self.to_best["low"]}
        risk = labelled["risk"]
        named = {} if risk is None else {k: v for k, v in risk.items() if isinstance(v, dict)}
        for key, one in named.items():
            name = component_column("total" if key == "risk" else key)
            row[name] = one["value"]
            row |= {f"{name}_low": one["low"], f"{name}_high": one["high"]}
        row["risk_merged"] = None if risk is None else risk["merged"]
        return row


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order of the encoders by one column.

    Attributes:
        column: a score, or error.
        rule: what ranks first, in words.
        names: best first; encoders without a number are left out.
        leaders: those whose interval overlaps that of the first, which is one of them; for the
            error those that are not worse than the best by a paired interval.
    """

    column: str
    rule: str
    names: tuple[str, ...]
    leaders: tuple[str, ...]


@dataclass(frozen=True)
class ColumnAgreement:
    """Kendall's tau-b between the orders of two columns a and b, over n encoders."""

    a: str
    b: str
    tau: float
    n: int


@dataclass(frozen=True, kw_only=True, repr=False)
class EncoderTable(Described):
    """The result of `compare_encoders`.

    Attributes:
        path: the folder with encoders.json, table.csv and table.parquet.
        rows: one per encoder, in the requested order.
        notes: how the numbers may be read, one or two sentences each.
        orders: by each column that at least two encoders have.
        agreement: Kendall's tau-b between the orders of every two columns.
        settings: the images, the views, the probe and the seed.
        conclusion: which encoder to take, with its uncertainty, or why none can be named.
    """

    path: Path
    rows: tuple[EncoderRow, ...]
    notes: tuple[str, ...]
    orders: tuple[Order, ...]
    agreement: tuple[ColumnAgreement, ...]
    settings: dict[str, object]
    conclusion: str = ""

    def describe(self) -> list[tuple[str, str]]:
        """The error of every encoder where there are labels, else that there are none."""
        order = next((o for o in self.orders if o.column == "error"), None)
        rows = []
        for name in () if order is None else order.names:
            row = next(row for row in self.rows if row.name == name)
            error = (row.labelled or {})["error"]
            right = percent(1 - error["value"], 1 - error["high"], 1 - error["low"])
            rows.append((name, f"right in {right}"))
        failed = [(row.name, f"failed: {row.failed}") for row in self.rows if row.failed]
        return [*rows, *failed, ("table", str(self.path / "table.csv"))]

    def as_json(self) -> dict[str, object]:
        """All fields as values that JSON holds."""
        return {
            "format": "jessl.encoders",
            "version": 1,
            "conclusion": self.conclusion,
            "settings": self.settings,
            "encoders": [{**asdict(row), "warnings": list(row.warnings)} for row in self.rows],
            "orders": [asdict(order) for order in self.orders],
            "agreement": [asdict(pair) for pair in self.agreement],
            "notes": list(self.notes),
        }

    def write(self) -> None:
        """Write the three files, each atomically."""
        import pandas as pd

        frame = pd.DataFrame([row.flat() for row in self.rows])
        write_csv(frame, self.path / "table.csv")
        with atomic_write(self.path / "table.parquet") as part:
            frame.to_parquet(part, index=False)
        write_json(self.path / "encoders.json", self.as_json())


def rank_by_columns(rows: Sequence[EncoderRow]) -> tuple[Order, ...]:
    """The orders by each column for which at least two encoders have a number."""
    orders = []
    for column, (rule, utility) in RULES.items():
        known = [(row, v) for row in rows if (v := row.value(column)) is not None]
        if len(known) < 2:
            continue
        known.sort(key=lambda pair: -utility(pair[1]))
        first = known[0][0]
        leaders = [r.name for r, _ in known if r is first or _is_tied(column, first, r)]
        names = tuple(row.name for row, _ in known)
        orders.append(Order(column=column, rule=rule, names=names, leaders=tuple(leaders)))
    return tuple(orders)


def _is_tied(column: str, first: EncoderRow, other: EncoderRow) -> bool:
    """Whether the two cannot be distinguished with these images."""
    if column == "error" and other.to_best is not None:
        return other.to_best["low"] <= 0
    a, b = first.interval(column), other.interval(column)
    if a is None or b is None:
        return first.value(column) == other.value(column)
    return a[0] <= b[1] and b[0] <= a[1]


def column_agreement(rows: Sequence[EncoderRow]) -> tuple[ColumnAgreement, ...]:
    """Kendall's tau-b between every two columns, over encoders that have both; three at least.

    Both columns are oriented by their rules: 1 means that the orders are the same, -1 that one is
    the reverse of the other.
    """
    pairs = []
    columns = list(RULES)
    for i, a in enumerate(columns):
        for b in columns[i + 1 :]:
            values = [(row.value(a), row.value(b)) for row in rows]
            both = [(x, y) for x, y in values if x is not None and y is not None]
            utilities = [RULES[a][1](x) for x, _ in both], [RULES[b][1](y) for _, y in both]
            tau = kendall(*utilities).value
            if tau is not None:
                pairs.append(ColumnAgreement(a, b, tau, len(both)))
    return tuple(pairs)


def top_third_counts(
    rows: Sequence[EncoderRow], orders: Sequence[Order]
) -> tuple[int, int, list[tuple[str, int]]]:
    """How often each encoder is in the top third of the orders that use no labels.

    RankMe counts where all encoders have the same d, RankMe / d where they differ: the two are one
    measure.

    Returns:
        The number of places in the top third, the number of columns that count, and
        (name, how often), most often first.
    """
    same = len({row.d for row in rows if row.d is not None}) < 2
    dropped = {"error", "normalized_rank" if same else "rankme"}
    counted = [order for order in orders if order.column not in dropped]
    most = max((len(order.names) for order in counted), default=0)
    top = max(1, math.ceil(most / 3))
    times = {row.name: sum(row.name in o.names[:top] for o in counted) for row in rows}
    ranked = sorted(((n, k) for n, k in times.items() if k), key=lambda pair: -pair[1])
    return top, len(counted), ranked
