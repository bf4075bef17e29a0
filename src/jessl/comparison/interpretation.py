"""How the numbers of a comparison may be read: sentences for people."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from jessl.comparison.labels import labels_to_settle
from jessl.comparison.table import ColumnAgreement, EncoderRow, Order, top_third_counts
from jessl.core.notebook import percent
from jessl.schema import few_rows, score_title

_FEW = 6


def interpretation_notes(
    rows: Sequence[EncoderRow],
    orders: Sequence[Order],
    agreement: Sequence[ColumnAgreement],
    settings: Mapping[str, object],
) -> tuple[str, ...]:
    """The sentences, conclusions first; every number in them is in the table."""
    good = [row for row in rows if row.failed is None]
    return (
        *_winners(good, orders, settings),
        *_failed(rows),
        *_often(good, orders),
        *_ranks(good),
        *_evidence(good),
        *_rows(good),
        *_views(good, settings),
        *_agreement(agreement),
        *_labels(good, settings),
    )


def _winners(
    good: Sequence[EncoderRow], orders: Sequence[Order], settings: Mapping[str, object]
) -> list[str]:
    by_error = next((o for o in orders if o.column == "error"), None)
    if by_error is None:
        if len(good) < 2:
            return []
        return [f"{_NO_WINNER}. A few labelled images of each class decide more than all columns."]
    first = by_error.names[0]
    worse = [n for n in by_error.names if n not in by_error.leaders]
    text = f"{best_encoder(good, orders)}."
    if worse:
        text += f" Worse than {first} by a paired interval that excludes 0: {_list(worse)}."
    if len(good) < 3:
        return [text]
    return [
        text,
        "Each interval of an error stands for itself: the lowest of several errors is a little too "
        "low, and one of many encoders may differ by chance.",
    ]


_NO_WINNER = (
    "No encoder can be recommended without labels: no column here is known to order encoders of "
    "different families by how well they suit a task"
)


def best_encoder(good: Sequence[EncoderRow], orders: Sequence[Order]) -> str:
    """The answer in one sentence, without a full stop: what to use, and how sure that is."""
    by_error = next((o for o in orders if o.column == "error"), None)
    if by_error is None:
        labelled = next((row for row in good if row.labelled), None)
        if labelled is not None:
            return f"{labelled.name} {_right(labelled)}; no other encoder to compare it with"
        return _NO_WINNER if len(good) > 1 else "One encoder: there is nothing to compare it with"
    rows = {row.name: row for row in good}
    first, *others = (rows[name] for name in by_error.names)
    text = f"Use {first.name}: it {_right(first)}"
    tied = [row for row in others if row.name in by_error.leaders]
    if tied:
        text += f"; {_list([row.name for row in tied])} cannot be distinguished from it"
        text += _more_labels(first, tied[0])
    compared = [_baseline(row) for row in others if _is_baseline(row)]
    return text + (f". For comparison: {', '.join(compared)}" if compared else "")


def _right(row: EncoderRow) -> str:
    labelled = row.labelled
    assert labelled is not None
    error, n = labelled["error"], labelled["test_rows"]
    images = f"{n:,} test images"
    if labelled.get("folds"):
        images = f"the {n:,} labelled images, each left out of its fit"
    right = percent(1 - error["value"], 1 - error["high"], 1 - error["low"])
    return f"names the class of {right} of {images}"


def _more_labels(first: EncoderRow, other: EncoderRow) -> str:
    """How many labels would settle the two, by the width of their paired interval."""
    if other.to_best is None or other.labelled is None:
        return ""
    if other.to_best["value"] <= 0:
        return f" ({other.name} is right as often)"
    more = labels_to_settle(other.to_best, other.labelled["test_rows"])
    kind = "more labels" if other.labelled.get("folds") else "more labelled test images"
    if more is None:
        return f" (too close to settle {first.name} against {other.name} by more labels)"
    return f" (about {more:,} {kind} would settle {first.name} against {other.name})"


def _is_baseline(row: EncoderRow) -> bool:
    return row.encoder == "pixels" or row.encoder.startswith("random:")


def _baseline(row: EncoderRow) -> str:
    assert row.labelled is not None
    return f"{row.name} {percent(1 - row.labelled['error']['value'])}"


def _failed(rows: Sequence[EncoderRow]) -> list[str]:
    failed = [row for row in rows if row.failed is not None]
    if not failed:
        return []
    each = "; ".join(f"{row.name}: {row.failed}" for row in failed)
    return [f"{len(failed)} of {len(rows)} encoders failed. {each}."]


def _often(good: Sequence[EncoderRow], orders: Sequence[Order]) -> list[str]:
    top, columns, ranked = top_third_counts(good, orders)
    if not columns or not ranked:
        return []
    place = "first" if top == 1 else f"among the first {top}"
    each = ", ".join(f"{name} {n}" for name, n in ranked[:4])
    return [
        f"Most often {place} in the {columns} columns without labels: {each}. All columns use "
        "the same features: this is agreement among them, not independent evidence."
    ]


def _ranks(good: Sequence[EncoderRow]) -> list[str]:
    if len(good) < 2:
        return []
    widths = sorted({row.d for row in good if row.d is not None})
    text = (
        "RankMe is made to compare runs of one method (Garrido et al. 2023, section 3.2): between "
        "families and widths a higher rank is not a better encoder. In the tables of Mordacq et "
        "al. (ICML 2026) it picks the best of all VICReg runs and the worst of the I-JEPA runs "
        "that differ in their learning rate."
    )
    if len(widths) > 1:
        text += (
            f" Here d is {widths[0]} to {widths[-1]}, and the rank increases with d; RankMe / d "
            "removes this dependence, but no other difference."
        )
    return [text]


def _evidence(good: Sequence[EncoderRow]) -> list[str]:
    if len(good) < 2:
        return []
    return [
        "Across families the intrinsic dimension has the most evidence: the most reliable of seven "
        "such numbers over 260 vision models and six data sets (Arputharaj et al., TMLR 2026), "
        "though architecture and objective moderate it. Lower ranks first here (IdEst; Ansuini "
        "et al. 2019), others prefer higher (CLID). It is no proof for these images."
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
        "alpha-ReQ depend strongly on the number of images, more so for wider encoders."
    ]


def _views(good: Sequence[EncoderRow], settings: Mapping[str, object]) -> list[str]:
    if not any("lidar" in row.scores for row in good):
        return []
    text = (
        f"LiDAR and alignment use {settings['n_views']} random views of "
        f"{settings['view_images']:,} images ({settings['views']}): they measure whether an "
        "encoder ignores what these views change, and other views give other orders."
    )
    narrow = [
        row.name
        for row in good
        if row.d and (row.scores.get("lidar", {}).get("n") or row.d + 1) <= row.d
    ]
    if narrow:
        text += f" LiDAR cannot exceed the number of images less one; this limits {_list(narrow)}."
    return [text]


def _agreement(agreement: Sequence[ColumnAgreement]) -> list[str]:
    free = [pair for pair in agreement if "error" not in (pair.a, pair.b)]
    sentences = []
    # RankMe and its share of d are one measure where d is the same
    distinct = [p for p in free if {p.a, p.b} != {"rankme", "normalized_rank"}]
    if distinct:
        least = min(distinct, key=lambda pair: pair.tau)
        most = max(distinct, key=lambda pair: pair.tau)
        sentences.append(
            f"The columns agree from tau {_tau(least)} ({_pair(least)}) to {_tau(most)} "
            f"({_pair(most)}), over {most.n} encoders."
            + (
                f" With so few a tau means little: two random orders of {most.n} are equal "
                f"once in {math.factorial(most.n)}."
                if most.n < _FEW
                else ""
            )
        )
    errors = [pair for pair in agreement if "error" in (pair.a, pair.b)]
    if errors:
        ranked = sorted(errors, key=lambda pair: -pair.tau)
        each = ", ".join(f"{score_title(p.a)} {_tau(p)}" for p in ranked)
        sentences.append(
            f"Against the error (Kendall's tau, {ranked[0].n} encoders): {each}. This holds "
            "for these encoders on these images, and is no rule for others."
        )
    return sentences


def _labels(good: Sequence[EncoderRow], settings: Mapping[str, object]) -> list[str]:
    if not any(row.labelled for row in good):
        return []
    sentences = [
        "Labels affected only the errors, no other column. The training data of published encoders "
        "is not known here: an encoder that has seen the test images has too low an error."
    ]
    runs = [row.name for row in good if row.method is not None]
    if runs and settings.get("test") is None:
        sentences.append(
            f"{_list(runs)} may have been pretrained on the images that are tested here (without "
            "their labels), which lowers the error; pass separate test images."
        )
    split = [(row.name, row.labelled["risk"]) for row in good if row.labelled]
    split = [(name, risk) for name, risk in split if risk]
    if split:
        sentences.append(
            "Usability holds approximation (there is no supervised twin). Encoder generalization "
            "is about 0 for encoders that never saw these images."
        )
    part = "encoder_generalization"
    knows = [
        f"{name} ({_percent(risk[part]['value'])})" for name, risk in split if risk[part]["low"] > 0
    ]
    if knows:
        sentences.append(
            f"Its interval lies above 0 for {_list(knows)}: the encoders were trained on the "
            "images that the probes were fitted on, or these are easier than the test images."
        )
    return sentences


def _pair(pair: ColumnAgreement) -> str:
    return f"{score_title(pair.a)} and {score_title(pair.b)}"


def _tau(pair: ColumnAgreement) -> str:
    return f"{pair.tau:+.2f}".replace("-", "−")


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _list(names: Sequence[str]) -> str:
    shown = list(names[:_FEW])
    if len(names) > _FEW:
        return ", ".join(shown) + f" and {len(names) - _FEW} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else "".join(shown)
