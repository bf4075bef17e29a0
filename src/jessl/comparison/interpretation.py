"""What the numbers of a comparison may be read as, and what not: sentences for people."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from jessl.comparison.table import EncoderRow, Order, often_first
from jessl.schema import few_rows, score_title

_FEW = 6


def notes_of(
    rows: Sequence[EncoderRow],
    orders: Sequence[Order],
    agreement: Sequence[dict[str, Any]],
    settings: dict[str, Any],
) -> tuple[str, ...]:
    """The sentences, what can be concluded first; each number in them is of the table."""
    good = [row for row in rows if row.failed is None]
    told = [
        *_winners(good, orders, settings),
        *_failed(rows),
        *_often(good, orders),
        *_ranks(good),
        *_evidence(good),
        *_rows(good),
        *_views(good, settings),
        *_agreement(agreement),
        *_labels(good, settings),
    ]
    return tuple(told)


def _winners(
    good: Sequence[EncoderRow], orders: Sequence[Order], settings: dict[str, Any]
) -> list[str]:
    by_error = next((o for o in orders if o.column == "error"), None)
    if by_error is None:
        if len(good) < 2:
            return []
        return [
            "No winner is named: without labels no column here is known to order encoders of "
            "different families by how well they suit a task. A few labelled images of each class "
            "decide more than all columns together."
        ]
    first, *others = by_error.leaders
    error = next(row.labelled for row in good if row.name == first)
    assert error is not None
    worse = [n for n in by_error.names if n not in by_error.leaders]
    said = f"With labels {first} has the least error ({_percent(error['error']['value'])}"
    said += f", 95 %: {_span(error['error'])}, {error['test_rows']} test images)"
    if others:
        said += f"; not told apart from it: {_list(others)}"
    said += f". Worse by a paired interval that excludes 0: {_list(worse)}." if worse else "."
    if len(good) < 3:
        return [said]
    return [
        said,
        "Each interval of an error is for itself: the least of several errors is a little too "
        "small, and of many encoders one may fall out by chance.",
    ]


def _failed(rows: Sequence[EncoderRow]) -> list[str]:
    failed = [row for row in rows if row.failed is not None]
    if not failed:
        return []
    each = "; ".join(f"{row.name}: {row.failed}" for row in failed)
    return [f"{len(failed)} of {len(rows)} encoders failed. {each}."]


def _often(good: Sequence[EncoderRow], orders: Sequence[Order]) -> list[str]:
    top, columns, ranked = often_first(good, orders)
    if not columns or not ranked:
        return []
    place = "first" if top == 1 else f"among the first {top}"
    each = ", ".join(f"{name} {n}" for name, n in ranked[:4])
    return [
        f"Most often {place} in the {columns} columns without labels: {each}. The columns see the "
        "same features, so this is agreement among them and no evidence of its own."
    ]


def _ranks(good: Sequence[EncoderRow]) -> list[str]:
    if len(good) < 2:
        return []
    widths = sorted({row.d for row in good if row.d is not None})
    said = (
        "RankMe is made to compare runs of one method (Garrido et al. 2023, section 3.2): between "
        "families and widths a higher rank is not a better encoder. In the tables of Mordacq et "
        "al. (ICML 2026) it picks the best of all VICReg runs and the worst of the I-JEPA runs "
        "that differ in their learning rate."
    )
    if len(widths) > 1:
        said += (
            f" Here d is {widths[0]} to {widths[-1]}, and the rank follows d; RankMe / d takes "
            "that out, not the rest."
        )
    return [said]


def _evidence(good: Sequence[EncoderRow]) -> list[str]:
    if len(good) < 2:
        return []
    return [
        "Across families the intrinsic dimension has the most evidence: the most reliable of seven "
        "such numbers over 260 vision models and six data sets (Arputharaj et al., TMLR 2026), "
        "though architecture and objective moderate it. Lower is put first here (IdEst; Ansuini "
        "et al. 2019), others take higher (CLID). It is no proof for these images."
    ]


def _rows(good: Sequence[EncoderRow]) -> list[str]:
    few = [
        row for row in good if row.d and few_rows(row.scores.get("rankme", {}).get("n") or 0, row.d)
    ]
    if not few:
        return []
    each = ", ".join(f"{row.name} (d {row.d})" for row in few[:_FEW])
    more = f" and {len(few) - _FEW} more" if len(few) > _FEW else ""
    n = few[0].scores["rankme"]["n"]
    return [
        f"Too few images for the spectrum of {each}{more}: {n:,} are fewer than 4 d, so RankMe and "
        "alpha-ReQ depend strongly on the number of images, the more the wider an encoder is."
    ]


def _views(good: Sequence[EncoderRow], settings: dict[str, Any]) -> list[str]:
    if not any("lidar" in row.scores for row in good):
        return []
    said = (
        f"LiDAR and alignment are about {settings['n_views']} random views of "
        f"{settings['view_images']:,} images ({settings['views']}): they ask whether an encoder "
        "ignores what these views change, and other views give other orders."
    )
    narrow = [
        row.name
        for row in good
        if row.d and (row.scores.get("lidar", {}).get("n") or row.d + 1) <= row.d
    ]
    if narrow:
        said += f" LiDAR cannot exceed the number of images less one; that binds {_list(narrow)}."
    return [said]


def _agreement(agreement: Sequence[dict[str, Any]]) -> list[str]:
    free = [pair for pair in agreement if "error" not in (pair["a"], pair["b"])]
    said = []
    # RankMe and its share of d are one measure where d is the same
    apart = [p for p in free if {p["a"], p["b"]} != {"rankme", "normalized_rank"}]
    if apart:
        least = min(apart, key=lambda pair: pair["tau"])
        most = max(apart, key=lambda pair: pair["tau"])
        said.append(
            f"The columns agree from tau {_tau(least)} ({_pair(least)}) to {_tau(most)} "
            f"({_pair(most)}), over {most['n']} encoders."
            + (
                f" Of so few a tau says little: two orders of {most['n']} at random are the same "
                f"once in {_factorial(most['n'])}."
                if most["n"] < _FEW
                else ""
            )
        )
    errors = [pair for pair in agreement if "error" in (pair["a"], pair["b"])]
    if errors:
        ranked = sorted(errors, key=lambda pair: -pair["tau"])
        each = ", ".join(f"{score_title(p['a'])} {_tau(p)}" for p in ranked)
        said.append(
            f"Against the error (Kendall's tau, {ranked[0]['n']} encoders): {each}. This is of "
            "these encoders on these images, and no rule for others."
        )
    return said


def _labels(good: Sequence[EncoderRow], settings: dict[str, Any]) -> list[str]:
    if not any(row.labelled for row in good):
        return []
    said = [
        "Labels entered the errors only, no other column. What an encoder of others was trained "
        "on is not known here: one that has seen the test images has too small an error."
    ]
    runs = [row.name for row in good if row.method is not None]
    if runs and settings.get("test") is None:
        said.append(
            f"{_list(runs)} may have been pretrained on the images that are tested here (without "
            "their labels), which flatters; give test images of their own."
        )
    split = [(row.name, row.labelled["risk"]) for row in good if row.labelled]
    split = [(name, risk) for name, risk in split if risk]
    if split:
        said.append(
            "Usability holds approximation (there is no supervised twin). Encoder generalization "
            "is about 0 for encoders that never saw these images."
        )
    part = "encoder_generalization"
    knows = [
        f"{name} ({_percent(risk[part]['value'])})" for name, risk in split if risk[part]["low"] > 0
    ]
    if knows:
        said.append(
            f"Its interval lies above 0 for {_list(knows)}: trained on the images that the probes "
            "were fitted on, or these are easier than the test images."
        )
    return said


def _factorial(n: int) -> int:
    return math.factorial(n)


def _pair(pair: dict[str, Any]) -> str:
    return f"{score_title(pair['a'])} and {score_title(pair['b'])}"


def _tau(pair: dict[str, Any]) -> str:
    return f"{pair['tau']:+.2f}".replace("-", "−")


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _span(one: dict[str, float]) -> str:
    return f"{100 * one['low']:.1f} to {100 * one['high']:.1f}"


def _list(names: Sequence[str]) -> str:
    shown = list(names[:_FEW])
    if len(names) > _FEW:
        return ", ".join(shown) + f" and {len(names) - _FEW} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
