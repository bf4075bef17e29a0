"""The command that chooses: among runs, checkpoints of a run, or encoders of others."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, fields
from typing import Any

import tyro

from jessl.cli._base import Interrupted, stoppable, table
from jessl.schema import short_score_title

# which options belong to which way of choosing
_OF_RUNS = {"by", "scores", "oracle", "along", "plateau", "force", "train", "test"}
_OF_CHECKPOINTS = {"by", "data"}
_OF_ENCODERS = {"data", "out", "labels", "groups", "shots", "test", "size", "views", "n_views"}
_OF_ENCODERS |= {"view_images", "most_images", "batch_size", "device", "workers", "seed"}
_NO_OPTION = {"runs", "encoders", "checkpoints", "json", "given"}


@dataclass(kw_only=True)
class SelectCommand:
    """Choose without labels: among runs, checkpoints of a run, or encoders for your images.

    Attributes:
        runs: run folders, folders that hold run folders, or one .csv or .parquet table of a study.
        by: NAME or NAME/LAYER: rankme (at the projector, as published), rankme/backbone,
            alpha_req:first=5:last=50/backbone, ...; or loss, the last training loss.
        scores: others to be told beside it, by commas; they choose nothing.
        oracle: record of test images that says what the choice loses against the best with labels;
            it chooses nothing.
        along: the hyperparameter along which a plateau of ranks is looked for, such as lr; None:
            the only one that varies.
        plateau: of ranks take the first value that reaches the plateau of the best, as published;
            --no-plateau: always the best.
        force: put runs of several methods, widths or data sets in one order.
        train: SRC of labelled images: probes are fitted on them, for runs without a record of
            `oracle`; with --test.
        test: SRC of labelled images to test on.
        checkpoints: choose among the checkpoints of one run.
        encoders: choose among encoders instead: timm:NAME, torchvision:NAME, files, runs.
        data: SRC of the images that encoders are to suit; with --checkpoints where the run's
            images lie now.
        out: folder for the comparison of encoders; the same command goes on there.
        labels: CSV file with columns path,label of --data, for errors beside the scores.
        groups: a column of that file: images with the same cell are never divided by a split.
        shots: images per class of few-shot probes; none given: 3, 5 and 30.
        size: side of the encoders' input, px; None: each its own.
        views: preset or file of the random views of lidar and alignment, which judge encoders.
        n_views: how many of each image.
        view_images: how many images have them; 0: no such scores.
        most_images: of --data and --test, chosen by --seed.
        batch_size: images at a time.
        device: auto, cpu, cuda or cuda:N.
        workers: threads that decode; None: the cores that this process may use, at most 16.
        seed: of the choice of images, of views, blocks and splits.
        json: print the answer as JSON on standard output.
        given: names of the options on the command line.
    """

    runs: tyro.conf.Positional[list[str]] = field(default_factory=list)
    by: str = "rankme"
    scores: str = ""
    oracle: str = "accuracy/logistic"
    along: str | None = None
    plateau: bool = True
    force: bool = False
    train: str | None = None
    test: str | None = None
    checkpoints: bool = False
    encoders: list[str] = field(default_factory=list)
    data: str | None = None
    out: str | None = None
    labels: str | None = None
    groups: str | None = None
    shots: list[int] = field(default_factory=list)
    size: int | None = None
    views: str = "simclr"
    n_views: int = 10
    view_images: int = 1_000
    most_images: int = 25_600
    batch_size: int = 256
    device: str = "auto"
    workers: int | None = None
    seed: int = 0
    json: bool = False
    given: frozenset[str] = field(init=False, default=frozenset())

    def run(self) -> dict[str, Any]:
        """Rank and choose."""
        if self.encoders:
            if self.runs:
                raise ValueError("runs and --encoders: one of them; a run is an encoder as well")
            if self.checkpoints:
                raise ValueError("--checkpoints are of a run; --encoders are chosen as they are")
            self._only(_OF_ENCODERS, "--encoders")
            return self._among_encoders()
        if not self.runs:
            raise ValueError("select needs at least one run, or --encoders, got none")
        if self.checkpoints:
            if len(self.runs) > 1:
                raise ValueError(f"--checkpoints are of one run, {len(self.runs)} came")
            self._only(_OF_CHECKPOINTS, "--checkpoints")
            return self._among_checkpoints()
        self._only(_OF_RUNS, "runs")
        return self._among_runs()

    def _only(self, allowed: set[str], mode: str) -> None:
        """Refuse options that this way of choosing does not read."""
        for f in fields(self):
            if f.name in allowed | _NO_OPTION:
                continue
            default = f.default if f.default_factory is not list else []
            if f.name in self.given or getattr(self, f.name) != default:
                raise ValueError(f"--{f.name} has no meaning when choosing among {mode}")

    def _among_runs(self) -> dict[str, Any]:
        from jessl.selection import select

        if (self.train is None) != (self.test is None):
            raise ValueError("--train and --test come together: probes are fitted, then tested")
        names = [name.strip() for name in self.scores.split(",") if name.strip()]
        asked: dict[str, Any] = {
            "by": self.by,
            "scores": names,
            "along": self.along,
            "plateau": self.plateau,
            "force": self.force,
        }
        if self.train is not None:
            from jessl.selection.probe_runs import probe_runs

            # mistakes are told before probes are fitted, and the choice is made without them
            select(self.runs, **asked)
            probe_runs(self.runs, self.train, self.test, oracle=self.oracle)
        return select(self.runs, oracle=self.oracle, **asked).as_json()

    def _among_checkpoints(self) -> dict[str, Any]:
        from jessl.core.progress import ProgressBar
        from jessl.selection.checkpoints import select_checkpoints

        with ProgressBar("embedding checkpoints") as count:
            return select_checkpoints(
                self.runs[0], by=self.by, data=self.data, progress=count.update
            ).as_json()

    def _among_encoders(self) -> dict[str, Any]:
        for name in ("data", "out"):
            if getattr(self, name) is None:
                raise ValueError(f"--encoders needs --{name}")
        from jessl.comparison.compare import compare_encoders
        from jessl.comparison.page.page import write_encoders_page
        from jessl.core.interruption import Stopped

        assert self.out is not None
        with stoppable() as stop:
            try:
                asked = {name: getattr(self, name) for name in _OF_ENCODERS}
                found = compare_encoders(self.encoders, stop=stop, **asked)
            except Stopped as stopped:
                raise Interrupted(f"{stopped}; the same command goes on") from None
        return {**found.as_json(), "page": str(write_encoders_page(self.out))}

    def show(self, answer: dict[str, Any]) -> None:
        """Tables, then what is to be doubted."""
        if "encoders" in answer:
            _show_encoders(answer)
        elif "checkpoints" in answer:
            _show_checkpoints(answer)
        else:
            show_runs(answer)
        if "groups" not in answer:
            for warning in answer.get("warnings", []):
                print(f"warning: {warning}", file=sys.stderr)


def show_runs(answer: dict[str, Any]) -> None:
    """A row a setting; a row a score's choice, where there are several or labels; the runs."""
    by, oracle = answer["by"], answer["oracle"]
    ranks = [(group, rank) for group in answer["groups"] for rank in group["settings"]]
    others = list(ranks[0][1]["scores"])
    labelled = any(rank["oracle"] is not None for _, rank in ranks)
    heads = ["group", "setting", "seeds", by, "seed sd", "sd over images", "", *others]
    rows = []
    for group, rank in ranks:
        mark = "chosen" if rank["chosen"] else "tied" if rank["tied"] else ""
        mark = "diverged" if rank["mean"] is None else mark
        row = [group["name"], rank["name"] or "-", rank["seeds"], rank["mean"], rank["seed_sd"]]
        row += [rank["sd"], mark, *(rank["scores"][name] for name in others)]
        rows.append(row + ([rank["oracle"], rank["oracle_sd"]] if labelled else []))
    table([*heads, *([f"test {oracle}", "seed sd"] if labelled else [])], rows)
    for group in answer["groups"]:
        first = group["choices"][0]
        if first["path"] is not None:
            print(f"\n{group['name']}: take {first['path']}\n  by {by}: {first['rule']}")
    if others or labelled:
        print()
        _show_choices(answer, oracle, labelled)
    of_others = [w for w in answer["warnings"] if any(f": {name}: " in w for name in others)]
    for warning in answer["warnings"]:
        if warning not in of_others:
            print(f"warning: {warning}", file=sys.stderr)
    if of_others:
        print(f"note: {len(of_others)} more about the other scores: --json", file=sys.stderr)


def _show_choices(answer: dict[str, Any], oracle: str, labelled: bool) -> None:
    """What each score chooses, how it agrees with the first, and what labels say of it."""
    rows = []
    for group in answer["groups"]:
        for choice in group["choices"]:
            alike, verdict = choice["agreement"], choice["verdict"]
            row = [group["name"], choice["score"], choice["setting"] or "-"]
            row += [alike["value"], alike["p"]]
            if labelled:
                keys = ("regret", "regret_sd", "random_regret")
                row += [None if verdict is None else verdict[key] for key in keys]
                row += [None if verdict is None else verdict["spearman"]["value"]]
            rows.append(row)
    heads = ["group", "score", "chooses", "tau", "p"]
    table([*heads, *(["regret", "sd", "random", "rho"] if labelled else [])], rows)
    print(f"tau: Kendall's, with the order by {answer['by']}, over settings")
    if labelled:
        print(
            f"regret: test {oracle} below the best setting, sd over seeds; random: of a setting "
            "taken blindly; rho: Spearman's, of score and test"
        )


def _show_checkpoints(answer: dict[str, Any]) -> None:
    """A row a checkpoint, and what the training recorded on its way."""
    rows = []
    for c in answer["checkpoints"]:
        mark = "chosen" if c["chosen"] else "tied" if c["tied"] else ""
        rows.append([c["path"], c["epoch"], c["value"], c["debiased"], c["sd"], mark])
    table(["checkpoint", "epoch", answer["by"], "debiased", "sd", ""], rows)
    print(f"\ntake {answer['chosen']}: {answer['rule']}")
    if answer["online"]:
        print("\non the sample that was judged while training:")
        told = [[o["epoch"], o["split"], o["value"]] for o in answer["online"]]
        table(["epoch", "sample", answer["by"]], told)


def _show_encoders(answer: dict[str, Any]) -> None:
    """A row an encoder, the orders, and where the page is."""
    from jessl.comparison.table import SCORES

    rows = []
    for one in answer["encoders"]:
        values = [(one["scores"].get(name) or {}).get("value") for name in SCORES]
        error = (one["labelled"] or {}).get("error", {}).get("value")
        cost = (one["cost"] or {}).get("ms_per_image")
        row = [one["name"], one["d"], one["input_px"], one["weights_mb"], cost, *values, error]
        rows.append([*row, one["failed"] or ""])
    table(["encoder", "d", "px", "MB", "ms", *map(short_score_title, SCORES), "error", ""], rows)
    print()
    for order in answer["orders"]:
        print(f"{order['column']}, {order['rule']}: {', '.join(order['names'])}")
    print(f"\npage: {answer['page']}")
    for note in answer["notes"]:
        print(f"note: {note}", file=sys.stderr)
