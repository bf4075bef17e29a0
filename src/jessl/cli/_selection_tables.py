"""How the results of a selection are printed: runs, checkpoints, encoders."""

from __future__ import annotations

import shlex
from pathlib import Path

from jessl.cli._command import JsonObject
from jessl.cli._inputs import data_options
from jessl.cli._output import (
    print_conclusion,
    print_lines,
    print_merged_warnings,
    print_next,
    print_table,
)
from jessl.core.log import log
from jessl.schema import short_score_title

# notes of a comparison that a terminal shows; the page has all
_NOTES_OF_LABELS = ("Of labels", "The labels are not used")


def print_runs(selection: JsonObject) -> None:
    """A row for each setting, the run to take, and the choices of other scores if there are any."""
    print_conclusion(selection)
    by, oracle = selection["by"], selection["oracle"]
    settings = [(group, one) for group in selection["groups"] for one in group["settings"]]
    others = list(settings[0][1]["scores"])
    has_labels = any(one["oracle"] is not None for _, one in settings)
    headers = ["group", "setting", "seeds", by, "seed sd", "sd over images", "", *others]
    rows = []
    for group, one in settings:
        row = [group["name"], one["name"] or "-", one["seeds"], one["mean"], one["seed_sd"]]
        row += [one["sd"], _mark(one), *(one["scores"][name] for name in others)]
        rows.append(row + ([one["oracle"], one["oracle_sd"]] if has_labels else []))
    print_table([*headers, *([f"test {oracle}", "seed sd"] if has_labels else [])], rows)
    print_lines("")
    for group in selection["groups"]:
        choice = group["choices"][0]
        print_lines(f"{group['name']}, by {by}: {choice['rule']}")
    if others or has_labels:
        print_lines("")
        _print_choices(selection, has_labels)
    about_others = [w for w in selection["warnings"] if any(f": {name}: " in w for name in others)]
    names = {group["name"] for group in selection["groups"]}
    print_merged_warnings(
        [_by_group(w, names) for w in selection["warnings"] if w not in about_others], "groups"
    )
    if about_others:
        count = len(about_others)
        warnings = "warning" if count == 1 else "warnings"
        log.note(f"{count} more {warnings} about the other scores: --json")
    print_next(_commands_with(list(selection["chosen"].values())))


def _by_group(warning: str, groups: set[str]) -> tuple[str, str]:
    """(the group, the text) of a warning; one group alone is not named."""
    group, colon, text = warning.partition(": ")
    if not colon or group not in groups:
        return "", warning
    return group if len(groups) > 1 else "", text


def _commands_with(paths: list[str]) -> list[str]:
    """Commands that use the encoder of a run or a checkpoint."""
    if not paths:
        return []
    path = shlex.quote(paths[0])
    return [
        f"jessl embed {path} {_data_of(Path(paths[0]))} --out embeddings",
        f"jessl export {path} exported",
    ]


def _data_of(chosen: Path) -> str:
    """--data of the images that a run, or the run of a checkpoint, was trained on."""
    from jessl.runs import Run, is_run

    for folder in (chosen, chosen.parent.parent):
        if is_run(folder):
            config = Run(folder).config()
            return data_options(config.data, config.x_key, config.bits, config.value_range)
    return "--data SRC"


def _mark(setting: JsonObject) -> str:
    if setting["mean"] is None:
        return "diverged"
    return "chosen" if setting["chosen"] else "tied" if setting["tied"] else ""


def _print_choices(selection: JsonObject, has_labels: bool) -> None:
    """What each score chooses, how it agrees with the first, and how good that is by labels."""
    rows = []
    for group in selection["groups"]:
        for choice in group["choices"]:
            agreement, regret = choice["agreement"], choice["verdict"]
            row = [group["name"], choice["score"], choice["setting"] or "-"]
            row += [agreement["value"], agreement["p"]]
            if has_labels:
                keys = ("regret", "regret_sd", "random_regret")
                row += [None if regret is None else regret[key] for key in keys]
                row += [None if regret is None else regret["spearman"]["value"]]
            rows.append(row)
    headers = ["group", "score", "chooses", "tau", "p"]
    print_table([*headers, *(["regret", "sd", "random", "rho"] if has_labels else [])], rows)
    print_lines(f"tau: Kendall's, with the order by {selection['by']}, over settings")
    if has_labels:
        print_lines(
            f"regret: test {selection['oracle']} below the best setting, sd over seeds; random: of "
            "a setting chosen at random; rho: Spearman's, of score and test"
        )


def print_checkpoints(selection: JsonObject) -> None:
    """A row for each checkpoint, and what the training recorded meanwhile."""
    print_conclusion(selection)
    rows = []
    for one in selection["checkpoints"]:
        mark = "chosen" if one["chosen"] else "tied" if one["tied"] else ""
        rows.append([one["path"], one["epoch"], one["value"], one["debiased"], one["sd"], mark])
    print_table(["checkpoint", "epoch", selection["by"], "debiased", "sd", ""], rows)
    if selection["online"]:
        print_lines("", "on the sample that was evaluated during training:")
        online = [[one["epoch"], one["split"], one["value"]] for one in selection["online"]]
        print_table(["epoch", "sample", selection["by"]], online)
    print_merged_warnings([("", warning) for warning in selection["warnings"]])
    print_next(_commands_with([selection["chosen"]]))


def print_encoders(comparison: JsonObject) -> None:
    """A row for each encoder, the orders, and where the page is."""
    from jessl.comparison.table import SCORES

    def of_score(warning: str) -> bool:
        return warning.partition(": ")[0] in SCORES

    print_conclusion(comparison)
    rows = []
    for one in comparison["encoders"]:
        values = [(one["scores"].get(name) or {}).get("value") for name in SCORES]
        error = (one["labelled"] or {}).get("error", {}).get("value")
        milliseconds = (one["cost"] or {}).get("ms_per_image")
        row = [one["name"], one["d"], one["input_px"], one["weights_mb"], milliseconds]
        rows.append([*row, *values, error, one["failed"] or ""])
    titles = map(short_score_title, SCORES)
    print_table(["encoder", "d", "px", "MB", "ms", *titles, "error", ""], rows)
    print_lines("", f"page: {comparison['page']} (also how to read the numbers)")
    warnings = [
        (one["name"], text.removeprefix(f"{text.partition(': ')[0]}: ") if of_score(text) else text)
        for one in comparison["encoders"]
        for text in one["warnings"]
    ]
    print_merged_warnings(warnings, "encoders")
    # the first note is the conclusion
    for note in comparison["notes"][1:]:
        if note.startswith(_NOTES_OF_LABELS):
            log.note(note)
    print_next(comparison["next"])
