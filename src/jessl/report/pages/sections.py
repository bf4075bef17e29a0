"""The parts of the page that are words and numbers: findings, cards, facts, settings."""

from __future__ import annotations

from typing import Any

from jessl.records import HELD_OUT, PRETRAIN_SAMPLE
from jessl.report.charts.ranking import axis_title
from jessl.report.charts.svg import Markup, join, tag
from jessl.report.formatting import duration, finite, percent, plain, points
from jessl.report.model import GroupData, ReportData, RunData, shown
from jessl.report.pages.conventions import probe_convention, risk_convention

# what a record of the training was measured on, for the titles of the panels
WHERE = {HELD_OUT: "held-out images", PRETRAIN_SAMPLE: "training images"}
RANKME = (
    "RankMe is the effective rank of the embeddings: exp of the entropy (natural logarithm) of "
    "p = s / ‖s‖₁ + ε, where s are the singular values of the matrix of embeddings, neither "
    "centred nor normalised, and ε = 1e-7 is added after the division. As published it is taken "
    "at the projector output on the pretraining data. It uses no labels."
)
INTERVALS = (
    "Intervals are 95 %. ± in the ranking is a standard deviation over seeds, ± in the table "
    "that of one measurement (jackknife). Debiased values are corrected for few rows; where "
    "there is one, the interval and the ± are its own. Accuracies and risks are measured on test "
    "data, which chose nothing. Error is 0-1 error."
)


def findings(report: ReportData) -> Markup:
    """The findings in plain words, or one sentence about what is here."""
    told = [str(f) for f in report.told.get("findings") or []]
    if not told:
        told = [_about_run(report)] if report.kind == "run" else [_about_study(report)]
    return tag("ul", *(tag("li", together(said)) for said in told), class_="findings")


def together(said: str) -> str:
    """Text whose numbers stay in one line with their percent signs."""
    return said.replace(" %", "\N{NO-BREAK SPACE}%")


def cards(report: ReportData) -> Markup:
    """What was chosen in every group, or the main numbers of a run."""
    if report.kind == "run":
        return tag("div", *_run_cards(report), class_="cards small")
    made = [_group_card(report, group, i) for i, group in enumerate(report.groups)]
    return tag("div", *made, class_="cards") if made else Markup("")


def facts(report: ReportData, left_out: list[str]) -> Markup:
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
        ("Chosen by", _chosen_by(report)),
        ("Embeddings", _shape(report)),
        ("RankMe", RANKME),
        ("Numbers", _numbers(report)),
        ("Probe", probe_convention(report)),
        ("Risk", risk_convention(report)),
        ("Warnings", _warnings(report)),
        ("Not shown", _lines(left_out) if left_out else None),
    ]
    kept = [(name, said) for name, said in found if said]
    return tag(
        "dl",
        *(join([tag("dt", name), tag("dd", said)]) for name, said in kept),
        class_="facts",
    )


def settings(run: RunData) -> Markup | None:
    """All settings of a run, folded away, with what was found out before the training.

    Only settings that were left open and then decided are marked as picked from the data.
    """
    if not run.config:
        return None
    chosen = run.config.get("chosen")
    facts = dict(chosen) if isinstance(chosen, dict) else {}
    decided = facts.pop("config", None)
    decided = decided if isinstance(decided, dict) else {}
    asked = {k: v for k, v in run.config.items() if k != "chosen"}
    rows = []
    for name, value in {**asked, **decided}.items():
        picked = name in decided and asked.get(name) is None
        rows.append(_setting_row(name, value, tag("small", "picked from the data"), picked))
    inside = [_settings_table(rows)]
    found = _settings_table([_setting_row(name, value) for name, value in facts.items()])
    if found is not None:
        inside += [tag("h3", "Found out before the training"), found]
    return tag("details", tag("summary", f"All settings of {run.name}"), *inside)


def judged_names(report: ReportData) -> str:
    """RankMe and accuracy, or which of them was measured during training; empty without any.

    The probes of the layers do not count: their section says where they were tested.
    """
    found = {
        record.name.partition("/")[0]
        for run in report.runs()
        for record in run.records
        if record.split in WHERE and not record.name.startswith("accuracy/online_")
    }
    return " and ".join(
        said for name, said in (("rankme", "RankMe"), ("accuracy", "accuracy")) if name in found
    )


def judged_where(what: str, splits: list[str]) -> str:
    """Where the numbers of the training come from, as a sentence for each split."""
    verb = "come" if " and " in what else "comes"
    start = what[0].upper() + what[1:]
    said = {
        HELD_OUT: f"{start} during training {verb} from held-out images.",
        PRETRAIN_SAMPLE: "The data set is small: the images that "
        f"{what} during training {verb} from are trained on as well.",
    }
    if len(splits) == 1:
        return said[splits[0]]
    return (
        f"{start} during training {verb} from held-out images or, where the title of a panel says "
        "training images, from images that are trained on as well."
    )


def _setting_row(
    name: str, value: Any, mark: Markup | None = None, marked: bool = False
) -> Markup | None:
    if value in (None, {}):
        return None
    said = ("yes" if value else "no") if isinstance(value, bool) else _setting(value)
    cell = tag("td", tag("code", said), mark if marked else None, class_="word")
    return tag("tr", tag("td", name), cell)


def _settings_table(rows: list[Markup | None]) -> Markup | None:
    if not any(rows):
        return None
    return tag("div", tag("table", tag("tbody", *rows)), class_="scroll settings")


def _group_card(report: ReportData, group: GroupData, index: int) -> Markup:
    told = group.told
    by_value = {shown(c.value): c for c in group.configs}
    chosen, best = group.chosen, told.get("best")
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


def _run_cards(report: ReportData) -> list[Markup]:
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
        extra = record.extra or {}
        layer = name.removeprefix("rankme/")
        plainer = run.number(f"effective_rank/{layer}", split) if layer != name else None
        if plainer is not None:
            pairs.append(("effective rank", write(plainer)))
        whose = "95 % interval"
        if (corrected := finite(extra.get("debiased"))) is not None:
            pairs.append(("corrected for few rows", write(corrected)))
            whose = "its 95 % interval"
        if low is not None and high is not None:
            pairs.append((whose, f"{write(low).removesuffix(' %')} to {write(high)}"))
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


def _about_run(report: ReportData) -> str:
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


def _about_study(report: ReportData) -> str:
    runs = list(report.runs())
    if not runs:
        return "This study holds no runs yet."
    count = sum(len(group.configs) for group in report.groups)
    methods = ", ".join(group.method for group in report.groups)
    return f"Runs: {len(runs)}. Configurations: {count}. Methods: {methods}."


def _data(report: ReportData) -> str | None:
    told = report.told.get("data")
    if not isinstance(told, dict):
        run = report.pictured_run() or next(report.runs(), None)
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


def _versions(report: ReportData) -> str:
    found = dict.fromkeys(r.versions for run in report.runs() for r in run.records if r.versions)
    return "; ".join(found)


def _shape(report: ReportData) -> str | None:
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


def _chosen_by(report: ReportData) -> str | None:
    if report.kind == "run":
        return None
    names = ", ".join(run.name for run in report.chosen_runs())
    said = axis_title(report.criterion)
    if len(report.groups) > 1:
        said += ", in each method by itself"
    return f"{said}: {names}" if names else said


def _numbers(report: ReportData) -> str:
    online = any(r.name == "accuracy/linear" for run in report.runs() for r in run.records)
    splits = report.judged_on()
    if not online or not splits:
        return INTERVALS
    return f"{INTERVALS} {judged_where('online accuracy', splits)}"


def _warnings(report: ReportData) -> Markup | None:
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
