"""The parts of the page that are words and numbers: findings, cards, facts, settings."""

from __future__ import annotations

from typing import Any

from jessl.report.gather import Group, Report, Run, shown
from jessl.report.numbers import duration, finite, percent, plain, points
from jessl.report.ranking import axis_title
from jessl.report.svg import Markup, join, tag

RANKME = (
    "RankMe is the effective rank of the embeddings: exp of the entropy (natural logarithm) of "
    "p = s / ‖s‖₁ + ε, where s are the singular values of the matrix of embeddings, neither "
    "centred nor normalised, and ε = 1e-7 is added after the division. As published it is taken "
    "at the projector output on the pretraining data. It uses no labels."
)
INTERVALS = (
    "Intervals are 95 %. ± in the ranking is a standard deviation over seeds, ± in the table "
    "that of one measurement (jackknife). Debiased values are corrected for few rows. Accuracies "
    "and risks are measured on test data, which chose nothing. Error is 0-1 error."
)


def findings(report: Report) -> Markup:
    """The findings in plain words, or one sentence about what is here."""
    told = [str(f) for f in report.told.get("findings") or []]
    if not told:
        told = [_about_run(report)] if report.kind == "run" else [_about_study(report)]
    return tag("ul", *(tag("li", said) for said in told), class_="findings")


def cards(report: Report) -> Markup:
    """What was chosen in every group, or the main numbers of a run."""
    if report.kind == "run":
        return tag("div", *_run_cards(report), class_="cards small")
    made = [_group_card(report, group, i) for i, group in enumerate(report.groups)]
    return tag("div", *made, class_="cards") if made else Markup("")


def facts(report: Report, left_out: list[str]) -> Markup:
    """What was run, on what, with what; warnings; conventions; what is not in the report."""
    told = report.told
    seconds = finite(told.get("seconds"))
    found: list[tuple[str, Markup | str | None]] = [
        ("Data", _data(report)),
        ("Command", tag("code", str(told["command"])) if told.get("command") else None),
        ("Time", duration(seconds) if seconds is not None else None),
        ("Hardware", str(told["hardware"]) if told.get("hardware") else None),
        ("Versions", str(told.get("versions") or _versions(report)) or None),
        ("Seeds", ", ".join(str(s) for s in told.get("seeds") or []) or None),
        ("Chosen by", axis_title(report.criterion) if report.kind == "study" else None),
        ("Embeddings", _shape(report)),
        ("RankMe", RANKME),
        ("Numbers", INTERVALS),
        ("Risk", _risk_convention(report)),
        ("Warnings", _warnings(report)),
        ("Not shown", _lines(left_out) if left_out else None),
    ]
    kept = [(name, said) for name, said in found if said]
    return tag(
        "dl",
        *(join([tag("dt", name), tag("dd", said)]) for name, said in kept),
        class_="facts",
    )


def settings(run: Run) -> Markup | None:
    """All settings of a run, folded away; those picked from the data are marked."""
    if not run.config:
        return None
    chosen = run.config.get("chosen")
    facts = dict(chosen) if isinstance(chosen, dict) else {}
    decided = facts.pop("config", None)
    decided = decided if isinstance(decided, dict) else {}
    asked = {k: v for k, v in run.config.items() if k != "chosen"}
    rows = []
    for name, value in {**asked, **decided, **facts}.items():
        if value in (None, {}):
            continue
        picked = name in facts or (name in decided and asked.get(name) is None)
        mark = tag("small", "picked from the data") if picked else None
        code = tag("code", _setting(value))
        rows.append(tag("tr", tag("td", name), tag("td", code, mark, class_="word")))
    table = tag("div", tag("table", tag("tbody", *rows)), class_="scroll")
    return tag("details", tag("summary", f"All settings of {run.name}"), table)


def _group_card(report: Report, group: Group, index: int) -> Markup:
    told = group.told
    by_value = {shown(c.value): c for c in group.configs}
    chosen, best = told.get("chosen"), told.get("best")
    pairs = []
    if chosen is not None and (config := by_value.get(shown(chosen))):
        pairs.append((axis_title(report.criterion, short=True), plain(config.rank)))
        if config.accuracy is not None:
            pairs.append(("accuracy of the choice", percent(config.accuracy)))
    if best is not None and (config := by_value.get(shown(best))) and config.accuracy is not None:
        pairs.append(
            (f"best of the grid ({group.parameter} {shown(best)})", percent(config.accuracy))
        )
    for key, name in (
        ("regret", "lost by choosing without labels"),
        ("random_regret", "lost by choosing at random"),
        ("seed_sd", "spread between seeds (sd)"),
    ):
        if (number := finite(told.get(key))) is not None:
            pairs.append((name, points(number)))
    big = (
        f"{group.parameter} = {shown(chosen)}"
        if chosen is not None
        else (f"{len(group.runs)} run" + ("" if len(group.runs) == 1 else "s"))
    )
    verdict = str(told.get("verdict") or "")
    # the findings at the top of the page say it already
    known = any(verdict in str(finding) for finding in report.told.get("findings") or ())
    say = tag("p", verdict, class_="say") if verdict and not known else None
    return tag(
        "div",
        tag("h3", tag("i", class_=f"dot m{index % 8}"), group.method),
        tag("div", big, class_="big"),
        _pairs(pairs),
        say,
        class_="card",
    )


def _run_cards(report: Report) -> list[Markup]:
    run = next(report.runs())
    tiles = []
    for name, split, head, is_fraction in (
        ("rankme/projector", "pretrain", "RankMe, projector", False),
        ("rankme/backbone", "pretrain", "RankMe, backbone", False),
        (report.accuracy or "", "test", "Accuracy on test data", True),
    ):
        record = run.last(name, split)
        if record is None:
            continue
        write = percent if is_fraction else plain
        pairs = []
        low, high = finite(record.low), finite(record.high)
        if low is not None and high is not None:
            pairs.append(("95 % interval", f"{write(low).removesuffix(' %')} to {write(high)}"))
        extra = record.extra or {}
        if (corrected := finite(extra.get("debiased"))) is not None:
            pairs.append(("debiased", write(corrected)))
        if extra.get("n") and extra.get("d"):
            pairs.append(("rows × dim.", f"{extra['n']} × {extra['d']}"))
        tiles.append(
            tag(
                "div",
                tag("h3", head),
                tag("div", write(finite(record.value)), class_="big"),
                _pairs(pairs),
                class_="card",
            )
        )
    return tiles


def _pairs(pairs: list[tuple[str, str]]) -> Markup:
    made = (join([tag("dt", name), tag("dd", said)]) for name, said in pairs)
    return tag("dl", *made, class_="pairs")


def _about_run(report: Report) -> str:
    run = next(report.runs())
    said = f"{run.method} on {run.config.get('data', 'unnamed data')}"
    if (seed := run.seed) is not None:
        said += f", seed {seed}"
    rank = run.number("rankme/projector", "pretrain")
    if rank is not None:
        said += f". Its embeddings fill about {plain(rank)} dimensions (RankMe, projector output)"
    accuracy = run.number(report.accuracy, "test") if report.accuracy else None
    if accuracy is not None:
        said += f"; a probe reads the class with {percent(accuracy)} accuracy"
    return said + "."


def _about_study(report: Report) -> str:
    runs = list(report.runs())
    if not runs:
        return "This study holds no runs yet."
    count = sum(len(group.configs) for group in report.groups)
    methods = ", ".join(group.method for group in report.groups)
    return f"Runs: {len(runs)}. Configurations: {count}. Methods: {methods}."


def _data(report: Report) -> str | None:
    told = report.told.get("data")
    if not isinstance(told, dict):
        run = report.chosen_run() or next(report.runs(), None)
        source = told or (run.config.get("data") if run else None)
        return str(source) if source else None
    parts = [str(told["name"])] if told.get("name") else []
    for key, said in (
        ("n_train", "{} images to train"),
        ("n_test", "{} to test"),
        ("image", "{}"),
        ("classes", "{} classes"),
    ):
        if told.get(key) is not None:
            parts.append(said.format(told[key]))
    return ", ".join(parts) or None


def _versions(report: Report) -> str:
    found = dict.fromkeys(r.versions for run in report.runs() for r in run.records if r.versions)
    return "; ".join(found)


def _shape(report: Report) -> str | None:
    """Rows and dimensions behind the criterion; RankMe compares only where they agree."""
    shapes: dict[str, None] = {}
    for run in report.runs():
        record = run.last(report.criterion, "pretrain")
        extra = (record.extra or {}) if record else {}
        if extra.get("n") and extra.get("d"):
            shapes[f"{extra['n']} rows × {extra['d']} dimensions"] = None
    if not shapes:
        return None
    said = "; ".join(shapes)
    if len(shapes) > 1:
        said += ". They differ between runs: RankMe then depends on them and compares badly."
    return said


def _risk_convention(report: Report) -> str | None:
    for run in report.runs():
        record = run.last("risk/total", "test") or run.last("risk/usability", "test")
        if record is not None:
            extra = record.extra or {}
            kept = [f"{k} {extra[k]}" for k in ("estimator", "order", "probe") if extra.get(k)]
            said = "Components are signed, never clipped, and sum to the total."
            return f"{said} Convention: {', '.join(kept)}." if kept else said
    return None


def _warnings(report: Report) -> Markup | None:
    lines = []
    total = len(list(report.runs()))
    for said, names in report.warnings().items():
        where = "every run" if total > 1 and len(names) == total else ", ".join(names)
        lines.append(
            said if total == 1 and names == [next(report.runs()).name] else f"{said} ({where})"
        )
    return _lines(lines) if lines else None


def _lines(lines: list[str]) -> Markup:
    return join(tag("p", said) for said in lines)


def _setting(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {shown(v)}" for k, v in value.items())
    return shown(value)
