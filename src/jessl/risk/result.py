"""The result of a risk decomposition: four signed components that sum to the risk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from jessl.core.notebook import Described, percent, with_interval
from jessl.probes.bootstrap import Estimate
from jessl.schema import COMPONENT_NAMES, component_title

if TYPE_CHECKING:
    from plotly.graph_objects import Figure


_COLORS = ("#4c78a8", "#f58518", "#54a24b", "#e45756")


@dataclass(frozen=True, kw_only=True, repr=False)
class RiskDecomposition(Described):
    """The risk of an encoder with a probe, split into its sources.

    Components are signed and never clipped: errors lie in -1 .. 1, log-losses are nats. All
    values lie on a grid of 2^-51 (log-losses 2^-47), so that their sum is `risk.value` exactly,
    in any order of summation. Every estimate has `value`, `low` and `high` (95 %).

    Attributes:
        approximation: the risk of the best encoder of this architecture.
        usability: the additional risk of a probe on the rows that it was fitted on.
        probe_generalization: the additional risk on rows that the probe has not seen.
        encoder_generalization: the additional risk on rows that the encoder has not seen either.
        risk: the error on `test` of the probe fitted on `train`.
        midpoint: the mean of the train and the held-out risk: an estimate of the best risk of the
            probe's family on this encoder, which the sum of usability and approximation represents
            (with all labels, also in a few-shot decomposition).
        bias: the train risk minus `midpoint`: the error of the plug-in estimate, mostly negative.
        differences: {"probe_generalization - usability": ...}: the difference of each pair of
            components.
        dominant: the component whose differences from all others have intervals above 0; None
            where the intervals do not decide.
        order: of the path, "published" or "union".
        params: the protocol, all risks (`risks`) and the components in the other order.
        merged: whether approximation is 0 by convention and part of usability, for lack of a
            supervised twin.
    """

    approximation: Estimate
    usability: Estimate
    probe_generalization: Estimate
    encoder_generalization: Estimate
    risk: Estimate
    midpoint: Estimate
    bias: Estimate
    differences: dict[str, Estimate]
    dominant: str | None
    order: str
    params: dict[str, object]
    merged: bool

    def as_json(self) -> dict[str, object]:
        """All fields as JSON values."""
        return asdict(self)

    def rows(self) -> list[tuple[str, Estimate]]:
        """(name in words, estimate) of the components, the risk, the midpoint and the bias."""
        rows = []
        for name in (*COMPONENT_NAMES, "risk"):
            if name == "approximation" and self.merged:
                continue
            rows.append((component_title(name, merged=self.merged), getattr(self, name)))
        return [*rows, ("best of the family, midpoint", self.midpoint), ("bias", self.bias)]

    @property
    def conclusion(self) -> str:
        """The risk, and the component that it comes from where the intervals decide it."""
        total = f"The {self._name_of_risk()} is {self._with_unit(self.risk)}"
        if self.dominant is not None:
            part: Estimate = getattr(self, self.dominant)
            title = component_title(self.dominant, merged=self.merged)
            return f"{total}; its largest part is {title}, {self._with_unit(part)}"
        names = [name for name in COMPONENT_NAMES if not (self.merged and name == "approximation")]
        ranked = sorted(names, key=lambda name: -getattr(self, name).value)[:2]
        parts = (
            f"{component_title(name, merged=self.merged)} {self._with_unit(getattr(self, name))}"
            for name in ranked
        )
        return f"{total}; the intervals do not decide which part is largest: {', '.join(parts)}"

    def _name_of_risk(self) -> str:
        return "error" if self.params["risk"] == "error" else "log-loss"

    def _with_unit(self, one: Estimate) -> str:
        if self.params["risk"] == "error":
            return percent(one.value, one.low, one.high)
        return with_interval(one.value, one.low, one.high) + " nats"

    def describe(self) -> list[tuple[str, str]]:
        """The components with their intervals."""
        return [(name, self._with_unit(one)) for name, one in self.rows()]

    def __str__(self) -> str:
        return f"{self.conclusion}\n{self.table()}"

    def table(self) -> str:
        """A table as text: errors in percent, log-losses in nats."""
        times, unit = (100.0, "%") if self.params["risk"] == "error" else (1.0, "nats")
        lines = [f"{'component':<32}{unit:>8}   95 % interval"]
        for name, one in self.rows():
            spread = f"{times * one.low:.2f} .. {times * one.high:.2f}"
            lines.append(f"{name:<32}{times * one.value:>8.2f}   {spread}")
        return "\n".join(lines)

    def plot(self) -> Figure:
        """A plotly Figure: the components stacked to the risk, negative ones downwards."""
        from plotly.graph_objects import Bar, Figure

        times, unit = (100.0, "%") if self.params["risk"] == "error" else (1.0, "nats")
        figure = Figure()
        for name, color in zip(COMPONENT_NAMES, _COLORS, strict=True):
            if name == "approximation" and self.merged:
                continue
            one: Estimate = getattr(self, name)
            label = component_title(name, merged=self.merged)
            hover = (
                f"{label}: {times * one.value:.2f} {unit} "
                f"(95 %: {times * one.low:.2f} .. {times * one.high:.2f})<extra></extra>"
            )
            figure.add_trace(
                Bar(
                    name=label,
                    x=["risk"],
                    y=[times * one.value],
                    marker_color=color,
                    hovertemplate=hover,
                )
            )
        figure.update_layout(
            barmode="relative",
            title=f"Risk {times * self.risk.value:.2f} {unit} ({self.order} order)",
            yaxis_title="0-1 error, %" if unit == "%" else "log-loss, nats",
        )
        return figure
