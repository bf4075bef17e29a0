"""The command decompose."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jessl.cli._base import loaded, show_doubts, table
from jessl.schema import COMPONENT_NAMES, component_title

if TYPE_CHECKING:
    pass

# characters of the longest bar
_BAR = 40
_SUGGESTIONS = 3


@dataclass(kw_only=True)
class DecomposeCommand:
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
        from jessl.core.progress import ProgressBar
        from jessl.probes.probe import parse_kind
        from jessl.risk import decompose
        from jessl.risk.advice import advise
        from jessl.risk.evidence import read_evidence

        parse_kind(self.probe, self.options, "probe")
        evidence = None if self.evidence is None else read_evidence(self.evidence)
        twin = None
        if self.supervised is not None:
            twin = (loaded(self.supervised[0]), loaded(self.supervised[1]))
        options: dict[str, Any] = dict(self.options)
        with ProgressBar("decomposition, hyperparameters") as count:
            found = decompose(
                loaded(self.train),
                loaded(self.test),
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
                progress=count.update,
                **options,
            )
        advice = [one.as_json() for one in advise(found, evidence)]
        return {**found.as_json(), "advice": advice}

    def show(self, answer: dict[str, Any]) -> None:
        """A row and a bar a component, what they rest on, and what they suggest."""
        params = answer["params"]
        names = [*COMPONENT_NAMES[1:]] if answer["merged"] else [*COMPONENT_NAMES]
        unit = "nats" if params["risk"] == "log_loss" else "error"
        most = max(abs(answer[name]["value"]) for name in [*names, "risk"]) or 1.0
        rows = []
        for name in [*names, "risk", "midpoint", "bias"]:
            one = answer[name]
            words = {"midpoint": "best of the family (midpoint)", "bias": "bias of the train risk"}
            said = words.get(name, component_title(name))
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
        show_doubts(params)


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
