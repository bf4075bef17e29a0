"""The command probe."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jessl.cli._base import loaded, show_doubts, table

if TYPE_CHECKING:
    pass


@dataclass(kw_only=True)
class ProbeCommand:
    """Judge representations with labels: fit on one set, test on another.

    Attributes:
        train: embeddings with labels to fit on; hyperparameters are chosen on them alone.
        test: embeddings with labels to test on.
        kind: logistic, ridge, mlp or knn.
        options: of the probe: C 0.1 (logistic), penalty 0.1 (ridge), hidden 512-512 weight_decay
            0.01 lr 0.001 epochs 100 (mlp), k 20 temperature 0.07 (knn).
        tuning: how hyperparameters are chosen: folds, leave-one-out (ridge) or part (a held-out
            fifth); None: as is usual for the kind.
        folds: of the cross-validation; None: 10 up to 5,000 rows, else 5.
        shots: images per class to fit on; several: one setting each.
        fraction: shares of the labels to fit on, 0 to 1; several: one setting each.
        draws: how often the few images of --shots and --fraction are chosen anew.
        protocol: what few-shot probes are tuned on: few (their few images) or published (the
            other training labels).
        device: cpu, cuda or cuda:N.
        seed: of the choice of images and of the folds.
        json: print the answer as JSON on standard output.
    """

    train: str
    test: str
    kind: str = "logistic"
    options: dict[str, int | float | str] = field(default_factory=dict)
    tuning: str | None = None
    folds: int | None = None
    shots: list[int] = field(default_factory=list)
    fraction: list[float] = field(default_factory=list)
    draws: int = 5
    protocol: str = "few"
    device: str = "cpu"
    seed: int = 0
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Fit and test."""
        from jessl.core.progress import ProgressBar
        from jessl.core.validation import check_int
        from jessl.probes import few_shot, probe
        from jessl.probes.probe import parse_kind

        parse_kind(self.kind, self.options)
        check_int("draws", self.draws, 1)
        train, test = loaded(self.train), loaded(self.test)
        asked: dict[str, Any] = {
            **self.options,
            "kind": self.kind,
            "tuning": self.tuning,
            "folds": self.folds,
            "device": self.device,
            "seed": self.seed,
        }
        if self.shots or self.fraction:
            with ProgressBar("few-shot probes") as count:
                found = few_shot(
                    train,
                    test,
                    shots=self.shots,
                    fractions=self.fraction,
                    draws=self.draws,
                    protocol=self.protocol,
                    progress=count.update,
                    **asked,
                )
            return {"all": None, "few_shot": [one.as_json() for one in found]}
        with ProgressBar(f"{self.kind} probe, hyperparameters") as count:
            found_all = probe(train, test, protocol=self.protocol, progress=count.update, **asked)
        return {"all": found_all.as_json(), "few_shot": []}

    def show(self, answer: dict[str, Any]) -> None:
        """What was found with all labels, or a row a few-shot setting."""
        if answer["all"] is None:
            self._show_few(answer["few_shot"])
            return
        r = answer["all"]
        params = r["params"]
        between = r["intervals"]
        rows: list[list[Any]] = [["error", r["error"], r["low"], r["high"]]]
        rows.append(["accuracy", r["accuracy"], 1 - r["high"], 1 - r["low"]])
        told = [("top5", "top-5"), ("balanced_accuracy", "balanced accuracy")]
        for name, words in [*told, ("log_loss", "log-loss, nats")]:
            if r[name] is not None:
                rows.append([words, r[name], *between[name]])
        table(["", "value", "95 % from", "to"], rows)
        chosen = ", ".join(f"{k} {params[k]:g}" for k in (r["curve"] or {}) if k in params)
        print(
            f"\n{params['kind']} probe, {params['train_rows']:,} rows to fit on, "
            f"{params['test_rows']:,} to test; {params['classes']} classes"
            + (f"; {chosen} by {params['tuned_on']}" if chosen else "")
        )
        worst = sorted(r["per_class"].items(), key=lambda item: -item[1]["error"])[:5]
        said = ", ".join(f"{c['name'] or label} {c['error']:.3f} of {c['n']}" for label, c in worst)
        print(f"classes with the largest error: {said}")
        show_doubts(params)

    def _show_few(self, found: list[dict[str, Any]]) -> None:
        rows = []
        for r in found:
            few = r["shots"] if r["fraction"] is None else f"{100 * r['fraction']:g} %"
            one = r["accuracy"]
            sizes = [r["rows"], r["params"]["draws"]]
            rows.append([few, *sizes, one["value"], one["low"], one["high"], r["sd"]])
        table(["shots", "rows", "draws", "accuracy", "95 % from", "to", "sd of draws"], rows)
        params = found[0]["params"]
        tuned = params["tuned_on"]
        print(f"\n{params['kind']} probe" + (f", tuned by {tuned}" if tuned else ""))
        show_doubts(params)
