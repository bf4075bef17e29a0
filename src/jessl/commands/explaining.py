"""Commands that explain with labels: probe, decompose (see making.py for their form)."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jessl.commands.base import table

if TYPE_CHECKING:
    from jessl.embeddings import Embeddings

# characters of the longest bar
_BAR = 40
_SUGGESTIONS = 3
# features above this stay on disk
_LARGE_BYTES = 2**31


@dataclass(kw_only=True)
class Probe:
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
        from jessl.names import whole
        from jessl.probes import few_shot, probe
        from jessl.probes.probe import kind_of
        from jessl.progress import Count

        kind_of(self.kind, self.options)
        whole("draws", self.draws, 1)
        train, test = _loaded(self.train), _loaded(self.test)
        asked: dict[str, Any] = {
            **self.options,
            "kind": self.kind,
            "tuning": self.tuning,
            "folds": self.folds,
            "device": self.device,
            "seed": self.seed,
        }
        if self.shots or self.fraction:
            with Count("few-shot probes") as count:
                found = few_shot(
                    train,
                    test,
                    shots=self.shots,
                    fractions=self.fraction,
                    draws=self.draws,
                    protocol=self.protocol,
                    told=count.update,
                    **asked,
                )
            return {"all": None, "few_shot": [one.as_json() for one in found]}
        with Count(f"{self.kind} probe, hyperparameters") as count:
            found_all = probe(train, test, protocol=self.protocol, told=count.update, **asked)
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
        _doubts(params)

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
        _doubts(params)


@dataclass(kw_only=True)
class Decompose:
    """Say where the error of a probe comes from: four signed components that sum to it.

    Attributes:
        train: embeddings with labels that the encoder was pretrained on.
        test: embeddings with labels that it has not seen.
        supervised: train and test embeddings of the same architecture trained with labels.
        probe: kind of probe: logistic, ridge or mlp.
        options: of the probe, as of jessl probe: C 0.1; penalty 0.1; hidden 512-512.
        estimator: crossfit (every image held out once) or published (one held-out subset).
        order: published or union, the order in which training gets harder.
        tuning: shared (one choice of hyperparameters for all risks) or per-term (each risk its
            own, as published).
        risk: error (0-1) or log_loss (nats).
        shots: labelled images per class of a few-shot decomposition.
        fraction: share of the labels of a few-shot decomposition, 0 to 1.
        draws: how often the few images are chosen anew.
        folds: of crossfit; None: 10 up to 5,000 rows, else 5 (ridge: leave-one-out).
        n_sub: images of the subset of the published estimator.
        evidence: a file that jessl zoo --out wrote, for the advice; None: that of the published
            table of 169 models.
        device: cpu, cuda or cuda:N.
        seed: of folds, subsets and intervals.
        json: print the answer as JSON on standard output.
    """

    train: str
    test: str
    supervised: tuple[str, str] | None = None
    probe: str = "logistic"
    options: dict[str, int | float | str] = field(default_factory=dict)
    estimator: str = "crossfit"
    order: str = "published"
    tuning: str = "shared"
    risk: str = "error"
    shots: int | None = None
    fraction: float | None = None
    draws: int = 5
    folds: int | None = None
    n_sub: int | None = None
    evidence: str | None = None
    device: str = "cpu"
    seed: int = 0
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Decompose."""
        from jessl.probes.probe import kind_of
        from jessl.progress import Count
        from jessl.risk import decompose
        from jessl.risk.advice import advise, read_evidence

        kind_of(self.probe, self.options, "probe")
        evidence = None if self.evidence is None else read_evidence(self.evidence)
        twin = None
        if self.supervised is not None:
            twin = (_loaded(self.supervised[0]), _loaded(self.supervised[1]))
        options: dict[str, Any] = dict(self.options)
        with Count("decomposition, hyperparameters") as count:
            found = decompose(
                _loaded(self.train),
                _loaded(self.test),
                supervised=twin,
                probe=self.probe,
                estimator=self.estimator,
                order=self.order,
                tuning=self.tuning,
                risk=self.risk,
                shots=self.shots,
                fraction=self.fraction,
                draws=self.draws,
                folds=self.folds,
                n_sub=self.n_sub,
                device=self.device,
                seed=self.seed,
                told=count.update,
                **options,
            )
        advice = [one.as_json() for one in advise(found, evidence)]
        return {**found.as_json(), "advice": advice}

    def show(self, answer: dict[str, Any]) -> None:
        """A row and a bar a component, what they rest on, and what they suggest."""
        params = answer["params"]
        names = ["approximation", "usability", "probe_generalization", "encoder_generalization"]
        if answer["merged"]:
            names = names[1:]
        unit = "nats" if params["risk"] == "log_loss" else "error"
        most = max(abs(answer[name]["value"]) for name in [*names, "risk"]) or 1.0
        rows = []
        for name in [*names, "risk", "midpoint", "bias"]:
            one = answer[name]
            words = {"midpoint": "best of the family (midpoint)", "bias": "bias of the train risk"}
            said = words.get(name, name.replace("_", " "))
            bar = "" if name in words else _bar(one["value"], most)
            rows.append([said, one["value"], one["low"], one["high"], bar])
        table(["component", unit, "95 % from", "to", ""], rows)
        other = "union" if answer["order"] == "published" else "published"
        sides = params[f"{other}_order"]
        print(
            f"\n{other} order: probe generalization {sides['probe_generalization']:.4f}, "
            f"encoder generalization {sides['encoder_generalization']:.4f}"
        )
        print(
            f"{params['probe']} probe, {params['estimator']} estimator"
            + (f", {params['folds']} folds" if params["folds"] else "")
            + f", {params['tuning']} tuning ({params['regularisation']}); "
            f"{params['train_rows']:,} training and {params['test_rows']:,} test images"
        )
        if answer["merged"]:
            print("no supervised twin was given: approximation is within usability")
        _suggestions(answer["advice"])
        _doubts(params)


def _loaded(path: str) -> Embeddings:
    """Embeddings, from a memory map where their features are large."""
    from jessl.embeddings import Embeddings

    file = Path(path)
    features = file / "features.npy" if file.is_dir() else file
    large = features.is_file() and features.stat().st_size > _LARGE_BYTES
    return Embeddings.load(file, mmap=large)


def _suggestions(advice: list[dict[str, Any]]) -> None:
    """The first few, wrapped; all of them are in the JSON document."""
    from textwrap import fill

    print("\nwhat the evidence suggests (what went with it in a table of models, no proof):")
    for one in advice[:_SUGGESTIONS]:
        sure = "" if one["sure"] == "no row" else f" [{one['sure']}]"
        print(fill(one["text"] + sure, 100, initial_indent="- ", subsequent_indent="  "))
    if len(advice) > _SUGGESTIONS:
        print(f"... and {len(advice) - _SUGGESTIONS} more in --json")


def _bar(value: float, most: float) -> str:
    """A line of blocks, those of a negative number behind a minus."""
    blocks = round(_BAR * abs(value) / most)
    return ("-" if value < 0 else "") + "█" * blocks


def _doubts(params: dict[str, Any]) -> None:
    """What makes the numbers doubtful, on standard error."""
    said = []
    if unseen := params.get("unseen_test_rows"):
        said.append(
            f"{unseen} test images are of classes that train does not have; they count as errors"
        )
    twins = params.get("near_duplicates")
    if twins and twins["identical"] + (twins["near"] or 0):
        least = "" if twins["complete"] else "at least "
        kinds = [("identical to", twins["identical"]), ("very near to", twins["near"] or 0)]
        told = " and ".join(f"{n} {what} a training row" for what, n in kinds if n)
        said.append(f"of the test rows {least}{told}: they are no fair test")
    said += params.get("warnings", [])
    if shared := params.get("test_rows_of_train_groups"):
        said.append(f"{shared} test images are of groups that train has, too")
    if not params["converged"]:
        said.append("a fit stopped before it converged")
    for line in said:
        print(f"warning: {line}", file=sys.stderr)
