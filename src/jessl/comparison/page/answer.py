"""What the page of a comparison shows, read from encoders.json, which may lack any part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jessl.report.json_values import Json, mapping, mappings, number, texts, word
from jessl.schema import COMPONENT_NAMES, capitalized, few_rows, score_title

# column -> which value ranks first, what it measures
RULES: dict[str, tuple[str, str]] = {
    "rankme": ("higher first", "effective rank of the features; depends on their number d"),
    "normalized_rank": ("higher first", "the share of the d features that is used"),
    "lidar": ("higher first", "effective rank of what separates images beyond views"),
    "alpha_req": ("nearest to 1 first", "how steeply the spectrum falls"),
    "twonn": ("lower first", "TwoNN: directions in which neighbours differ"),
    "uniformity": ("lower first", "how evenly the directions are spread"),
    "alignment": ("lower first", "how close the views of an image lie"),
}
ERROR = "error"
# without a supervised twin approximation lies in usability
RISK_PARTS = ("risk", *COMPONENT_NAMES[1:])
SIZES = ("d", "input_px", "parameters", "weights_mb", "feature_mb_per_1000")
_SPECTRAL = ("rankme", "normalized_rank", "alpha_req")


def title_of(column: str) -> str:
    """A column in words."""
    return capitalized(score_title(column))


@dataclass(frozen=True)
class Measurement:
    """A number with its 95 % interval; None where it is not known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None

    @classmethod
    def of(cls, content: object) -> Measurement:
        """From value, low and high of a JSON object."""
        row = mapping(content)
        return cls(number(row, "value"), number(row, "low"), number(row, "high"))


@dataclass(frozen=True)
class ScoreMeasurement(Measurement):
    """A label-free score, taken on n images with d features."""

    column: str = ""
    debiased: float | None = None
    n: float | None = None
    d: float | None = None
    source: str = ""
    warnings: Sequence[str] = ()

    @property
    def shown(self) -> float | None:
        """The number that its interval belongs to: corrected for few images where it is known."""
        return self.value if self.debiased is None else self.debiased

    @property
    def has_few_rows(self) -> bool:
        """Whether a score of the spectrum was taken on fewer than 4 d rows."""
        if self.column not in _SPECTRAL or self.n is None or self.d is None:
            return False
        return few_rows(self.n, self.d)


@dataclass(frozen=True)
class Cost:
    """Milliseconds an image with quartiles; warm: without the first batch."""

    time: Measurement = Measurement()
    device: str = ""
    batch_size: int = 0
    warm: bool = True


@dataclass(frozen=True)
class EncoderData:
    """One encoder; a failed one has no numbers. `colour` is the class of its colour."""

    name: str
    spec: str
    colour: str
    failed: str | None = None
    method: str = ""
    weights: str = ""
    sizes: Mapping[str, float | None] = field(default_factory=dict)
    cost: Cost = Cost()
    scores: Mapping[str, ScoreMeasurement] = field(default_factory=dict)
    is_labelled: bool = False
    error: Measurement = Measurement()
    few_shot: Mapping[int, Measurement] = field(default_factory=dict)
    risk: Mapping[str, Measurement] | None = None
    to_best: Measurement = Measurement()
    neighbours: str = ""
    warnings: Sequence[str] = ()

    def estimate(self, column: str) -> Measurement:
        """A score, or the error."""
        return self.error if column == ERROR else self.scores.get(column, ScoreMeasurement())


@dataclass(frozen=True)
class ColumnOrder:
    """The encoders by a column, best first, and those not distinguishable from the best."""

    column: str
    names: Sequence[str]
    leaders: Sequence[str]


@dataclass(frozen=True)
class ComparisonData:
    """Everything on the page; `tau` is Kendall's tau and the number of encoders by two columns."""

    encoders: Sequence[EncoderData]
    orders: Sequence[ColumnOrder]
    tau: Mapping[tuple[str, str], tuple[float, int]]
    notes: Sequence[str]
    settings: Json

    @property
    def measured(self) -> list[EncoderData]:
        """The encoders that have numbers."""
        return [encoder for encoder in self.encoders if encoder.failed is None]

    @property
    def columns(self) -> list[str]:
        """The scores of which at least one encoder has a number."""
        return [c for c in RULES if any(e.estimate(c).value is not None for e in self.measured)]

    def ordered(self, column: str) -> list[EncoderData]:
        """The encoders by a column, best first; those without a number are left out."""
        order = next((order for order in self.orders if order.column == column), None)
        known = [e for e in self.measured if e.estimate(column).value is not None]
        if order is None:
            return known
        place = {name: k for k, name in enumerate(order.names)}
        return sorted(known, key=lambda encoder: place.get(encoder.name, len(place)))


def read_comparison(answer: Json) -> ComparisonData:
    """The content of encoders.json."""
    rows = mappings(answer.get("encoders"))
    tau = {}
    for pair in mappings(answer.get("agreement")):
        value = number(pair, "tau")
        if value is not None:
            a, b, n = word(pair, "a"), word(pair, "b"), int(number(pair, "n") or 0)
            tau[a, b] = tau[b, a] = (value, n)
    return ComparisonData(
        encoders=[_encoder(row, f"m{place % 8}") for place, row in enumerate(rows)],
        orders=[
            ColumnOrder(
                word(order, "column"), texts(order.get("names")), texts(order.get("leaders"))
            )
            for order in mappings(answer.get("orders"))
        ],
        tau=tau,
        notes=texts(answer.get("notes")),
        settings=mapping(answer.get("settings")),
    )


def _encoder(row: Json, colour: str) -> EncoderData:
    labelled = mapping(row.get("labelled"))
    few = {
        int(shots): Measurement.of(entry)
        for entry in mappings(labelled.get("few_shot"))
        if (shots := number(entry, "shots"))
    }
    risk = mapping(labelled.get("risk"))
    name = word(row, "name")
    return EncoderData(
        name=name,
        spec=word(row, "encoder") or name,
        colour=colour,
        failed=None if row.get("failed") is None else word(row, "failed"),
        method=word(row, "method"),
        weights=word(row, "weights"),
        sizes={key: number(row, key) for key in SIZES},
        cost=_cost(mapping(row.get("cost"))),
        scores={k: _score(k, mapping(v)) for k, v in mapping(row.get("scores")).items()},
        is_labelled=bool(labelled),
        error=Measurement.of(labelled.get("error")),
        few_shot=few,
        risk={part: Measurement.of(risk.get(part)) for part in RISK_PARTS} if risk else None,
        to_best=Measurement.of(row.get("to_best")),
        neighbours=word(row, "neighbours"),
        warnings=texts(row.get("warnings")),
    )


def _cost(row: Json) -> Cost:
    time = Measurement(number(row, "ms_per_image"), number(row, "low"), number(row, "high"))
    batch_size = int(number(row, "batch_size") or 0)
    return Cost(time, word(row, "device"), batch_size, bool(row.get("warm", True)))


def _score(column: str, row: Json) -> ScoreMeasurement:
    return ScoreMeasurement(
        number(row, "value"),
        number(row, "low"),
        number(row, "high"),
        column,
        debiased=number(row, "debiased"),
        n=number(row, "n"),
        d=number(row, "d"),
        source=word(mapping(row.get("params")), "source"),
        warnings=texts(row.get("warnings")),
    )
