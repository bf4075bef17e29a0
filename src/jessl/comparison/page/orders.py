"""Which encoder ranks where by which column, and how far the columns agree: two matrices."""

from __future__ import annotations

from markupsafe import Markup

from jessl.comparison.page.answer import ERROR, RULES, ColumnOrder, ComparisonData, title_of
from jessl.report.charts.matrix import MatrixCell, matrix
from jessl.report.formatting import format_fixed


def rank_matrix(comparison: ComparisonData) -> Markup | None:
    """The rank of each encoder by each column; None where nothing is ordered."""
    orders = comparison.orders
    if not orders:
        return None
    names = [encoder.name for encoder in comparison.measured]
    rows = [[_rank(order, name) for order in orders] for name in names]
    heads = [_head(order.column) for order in orders]
    return matrix(names, heads, rows, "Ranks of the encoders by each column", runs=True)


def agreement_matrix(comparison: ComparisonData) -> Markup | None:
    """Kendall's tau between the orders of columns; None below three encoders."""
    tau = comparison.tau
    if not tau:
        return None
    columns = [c for c in (*RULES, ERROR) if any(c in pair for pair in tau)]
    rows = [[_tau(a, b, tau.get((a, b))) for b in columns] for a in columns]
    names, heads = [title_of(c) for c in columns], [_head(c) for c in columns]
    return matrix(names, heads, rows, "Kendall's tau between columns")


def _rank(order: ColumnOrder, name: str) -> MatrixCell | None:
    if name not in order.names:
        return None
    rank, count = order.names.index(name) + 1, len(order.names)
    tip = f"{name}: {title_of(order.column)} {rank} of {count}"
    ties = name in order.leaders and len(order.leaders) > 1
    if ties and rank > 1:
        tip += ", not distinguishable from the first"
    # those that cannot be told from the first share its place
    rank = 1 if ties else rank
    strength = 0.75 * (count - rank) / max(count - 1, 1)
    tied = "=" if ties else ""
    return MatrixCell(f"{rank}{tied}", "k1", strength, tip)


def _tau(a: str, b: str, pair: tuple[float, int] | None) -> MatrixCell | None:
    if pair is None:
        return None
    value, n = pair
    text = f"{'+' if value >= 0 else ''}{format_fixed(value, 2)}"
    tip = f"{title_of(a)} and {title_of(b)}: tau {text}, {n} encoders"
    return MatrixCell(text, "k1" if value > 0 else "m1", 0.75 * abs(value), tip)


def _head(column: str) -> str:
    return {"twonn": "Intr. dim."}.get(column, title_of(column))
