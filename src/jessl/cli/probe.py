"""The command `jessl probe`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from jessl.cli._command import Command, JsonObject
from jessl.cli._inputs import ReadsEmbeddings
from jessl.cli._output import (
    print_conclusion,
    print_lines,
    print_next,
    print_table,
    print_warnings,
)
from jessl.config import Probe

_WORST_CLASSES = 5


@dataclass(frozen=True, kw_only=True)
class ProbeCommand(Command, ReadsEmbeddings, Probe):
    """Measure how well a simple classifier on embeddings predicts labels.

    With --test it is fitted on one set and tested on another; without, every labelled row is
    tested once, by a probe that was fitted without it.

    Attributes:
        shots: images per class to fit on; several: one setting for each.
        fraction: shares of the labels to fit on, 0 to 1; several: one setting for each.
        draws: how often the few images of --shots and --fraction are drawn.
    """

    shots: tuple[int, ...] = ()  # type: ignore[assignment]  # several on the command line
    fraction: tuple[float, ...] = ()  # type: ignore[assignment]
    draws: int = 5

    def run(self) -> JsonObject:
        """Fit and test."""
        from jessl.core.progress import ProgressBar
        from jessl.core.validation import check_int
        from jessl.probes import few_shot, probe
        from jessl.probes.probe import parse_kind
        from jessl.probes.result import few_shot_conclusion

        # report mistakes before the embeddings are read
        parse_kind(self.kind, self.options)
        check_int("draws", self.draws, 1)
        train = self.load_embeddings(self.train)
        test = None if self.test is None else self.load_embeddings(self.test)
        if self.shots or self.fraction:
            with ProgressBar("few-shot probes", unit="probes") as bar:
                results = few_shot(
                    train,
                    test,
                    shots=self.shots,
                    fractions=self.fraction,
                    draws=self.draws,
                    seed=self.seed,
                    duplicates=self.duplicates,
                    progress=bar.update,
                    kind=self.kind,
                    tuning=self.tuning,
                    folds=self.folds,
                    protocol=self.protocol,
                    device=self.device,
                    class_names=self.class_names,
                    **self.options,
                )
            return {
                "conclusion": few_shot_conclusion(results),
                "all": None,
                "few_shot": [result.as_json() for result in results],
                "next": self._next(),
            }
        with ProgressBar(f"{self.kind} probe", unit="hyperparameters") as bar:
            result = probe(
                self, train=train, test=test, shots=None, fraction=None, progress=bar.update
            )
        return {
            "conclusion": result.conclusion,
            "all": result.as_json(),
            "few_shot": [],
            "next": self._next(),
        }

    def _next(self) -> list[str]:
        """What explains the error, where there is a test set; else how few labels are enough."""
        train = shlex.quote(self.train)
        if self.test is not None:
            return [f"jessl decompose --train {train} --test {shlex.quote(self.test)}"]
        if self.shots or self.fraction:
            return [f"jessl probe --train {train}"]
        return [f"jessl probe --train {train} --shots 1 3 5"]

    def show(self, result: JsonObject) -> None:
        """The results with all labels, or a row for each few-shot setting."""
        print_conclusion(result)
        if result["all"] is None:
            _show_few_shot(result["few_shot"])
        else:
            _show_all(result["all"])
        print_next(result["next"])


def _show_all(result: JsonObject) -> None:
    params, intervals = result["params"], result["intervals"]
    low, high = result["low"], result["high"]
    folds = params["cross_validated"]
    rows: list[list[object]] = [
        ["error", result["error"], low, high],
        ["accuracy", result["accuracy"], 1 - high, 1 - low],
    ]
    titles = {
        "top5": "top-5",
        "balanced_accuracy": "balanced accuracy",
        "log_loss": "log-loss, nats",
    }
    rows += [
        [title, result[name], *intervals[name]]
        for name, title in titles.items()
        if result[name] is not None
    ]
    print_table(["", "value", "95 % from", "to"], rows)
    chosen = ", ".join(f"{k} {params[k]:g}" for k in (result["curve"] or {}) if k in params)
    print_lines(
        "",
        f"{params['kind']} probe, {params['train_rows']:,} rows to fit on, "
        f"{params['test_rows']:,} to test; {params['classes']} classes"
        + (f"; {folds} folds, each tuned on the others" if folds else "")
        + (f"; {chosen} by {params['tuned_on']}" if chosen else ""),
    )
    by_error = sorted(result["per_class"].items(), key=lambda item: -item[1]["error"])
    worst = ", ".join(
        f"{c['name'] or label} {c['error']:.3f} of {c['n']}"
        for label, c in by_error[:_WORST_CLASSES]
    )
    print_lines(f"classes with the largest error: {worst}")
    print_warnings(params)


def _show_few_shot(results: list[JsonObject]) -> None:
    rows = []
    for result in results:
        few = result["shots"] if result["fraction"] is None else f"{100 * result['fraction']:g} %"
        accuracy = result["accuracy"]
        interval = [accuracy["value"], accuracy["low"], accuracy["high"]]
        rows.append([few, result["rows"], result["params"]["draws"], *interval, result["sd"]])
    print_table(["shots", "rows", "draws", "accuracy", "95 % from", "to", "sd of draws"], rows)
    params = results[0]["params"]
    tuned = f", tuned by {params['tuned_on']}" if params["tuned_on"] else ""
    print_lines("", f"{params['kind']} probe{tuned}")
    print_warnings(params)
