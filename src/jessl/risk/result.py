"""What a risk decomposition answers: four signed components that add up to the risk."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

NAMES = ("approximation", "usability", "probe_generalization", "encoder_generalization")
_COLORS = ("#4c78a8", "#f58518", "#54a24b", "#e45756")


@dataclass(frozen=True)
class Estimate:
    """A share of errors (0-1 error; a component lies in -1..1) with its 95 % interval."""

    value: float
    low: float
    high: float

    def __float__(self) -> float:
        return self.value


@dataclass(frozen=True, kw_only=True)
class RiskDecomposition:
    """The risk of an encoder with a probe, split into where it comes from.

    Components are signed and never clipped. All values lie on a grid of 2^-51, so that their
    sum is `risk.value` exactly, in any order of summation.

    Attributes:
        approximation: what even the best encoder of this architecture gets wrong.
        usability: what a probe that saw every training row gets wrong beyond that.
        probe_generalization: what the probe loses on rows that it has not seen.
        encoder_generalization: what is lost on rows that the encoder has not seen either.
        risk: the error on `test` of the probe fitted on `train`.
        order: of the path, "published" or "union".
        params: the protocol, every risk on the way (`risks`), the midpoint and the components in
            the other order.
        merged: approximation is 0 by convention and lies inside of usability, because no
            supervised twin was given.
    """

    approximation: Estimate
    usability: Estimate
    probe_generalization: Estimate
    encoder_generalization: Estimate
    risk: Estimate
    order: str
    params: dict[str, Any]
    merged: bool

    def as_json(self) -> dict[str, Any]:
        """All fields as values that JSON holds."""
        return asdict(self)

    def table(self) -> str:
        """Lines of text, in percent, for people."""
        lines = [f"{'component':<24}{'%':>8}   95 % interval"]
        for name in (*NAMES, "risk"):
            one: Estimate = getattr(self, name)
            if name == "approximation" and self.merged:
                lines.append(f"{name:<24}{'':>8}   (inside of usability: no supervised twin)")
                continue
            spread = f"{100 * one.low:.2f} .. {100 * one.high:.2f}"
            lines.append(f"{name.replace('_', ' '):<24}{100 * one.value:>8.2f}   {spread}")
        return "\n".join(lines)

    def plot(self) -> Any:
        """A plotly Figure: the components stacked to the risk, in percent; negative go down."""
        from plotly.graph_objects import Bar, Figure

        figure = Figure()
        for name, color in zip(NAMES, _COLORS, strict=True):
            if name == "approximation" and self.merged:
                continue
            one: Estimate = getattr(self, name)
            label = name.replace("_", " ")
            if name == "usability" and self.merged:
                label = "usability (with approximation)"
            hover = (
                f"{label}: {100 * one.value:.2f} % "
                f"(95 %: {100 * one.low:.2f} .. {100 * one.high:.2f})<extra></extra>"
            )
            figure.add_trace(
                Bar(
                    name=label,
                    x=["risk"],
                    y=[100 * one.value],
                    marker_color=color,
                    hovertemplate=hover,
                )
            )
        figure.update_layout(
            barmode="relative",
            title=f"Risk {100 * self.risk.value:.2f} % ({self.order} order)",
            yaxis_title="0-1 error, %",
        )
        return figure
