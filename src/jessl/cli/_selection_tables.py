"""How the results of a selection are printed: runs, checkpoints, encoders."""

from __future__ import annotations

from jessl.cli._command import JsonObject
from jessl.cli._output import print_lines, print_table
from jessl.core.log import log
from jessl.schema import short_score_title


def print_runs(selection: JsonObject) -> None:
    """A row for each setting, the run to take, and the choices of other scores if there are any."""
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
    for group in selection["groups"]:
        choice = group["choices"][0]
        if choice["path"] is not None:
            print_lines("", f"{group['name']}: take {choice['path']}")
            print_lines(f"  by {by}: {choice['rule']}")
        else:
            print_lines("", f"{group['name']}: no choice by {by}: {choice['rule']}")
    if others or has_labels:
        print_lines("")
        _print_choices(selection, has_labels)
    about_others = [w for w in selection["warnings"] if any(f": {name}: " in w for name in others)]
    for warning in selection["warnings"]:
        if warning not in about_others:
            log.warning(warning)
    if about_others:
        log.note(f"{len(about_others)} more warnings about the other scores: --json")


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
    rows = []
    for one in selection["checkpoints"]:
        mark = "chosen" if one["chosen"] else "tied" if one["tied"] else ""
        rows.append([one["path"], one["epoch"], one["value"], one["debiased"], one["sd"], mark])
    print_table(["checkpoint", "epoch", selection["by"], "debiased", "sd", ""], rows)
    print_lines("", f"take {selection['chosen']}: {selection['rule']}")
    if selection["online"]:
        print_lines("", "on the sample that was evaluated during training:")
        online = [[one["epoch"], one["split"], one["value"]] for one in selection["online"]]
        print_table(["epoch", "sample", selection["by"]], online)
    for warning in selection["warnings"]:
        log.warning(warning)


def print_encoders(comparison: JsonObject) -> None:
    """A row for each encoder, the orders, and where the page is."""
    from jessl.comparison.table import SCORES

    rows = []
    for one in comparison["encoders"]:
        values = [(one["scores"].get(name) or {}).get("value") for name in SCORES]
        error = (one["labelled"] or {}).get("error", {}).get("value")
        milliseconds = (one["cost"] or {}).get("ms_per_image")
        row = [one["name"], one["d"], one["input_px"], one["weights_mb"], milliseconds]
        rows.append([*row, *values, error, one["failed"] or ""])
    titles = map(short_score_title, SCORES)
    print_table(["encoder", "d", "px", "MB", "ms", *titles, "error", ""], rows)
    print_lines("")
    for order in comparison["orders"]:
        print_lines(f"{order['column']}, {order['rule']}: {', '.join(order['names'])}")
    print_lines("", f"page: {comparison['page']}")
    for note in comparison["notes"]:
        log.note(note)
