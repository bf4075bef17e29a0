"""The command `jessl decompose`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from jessl.cli._command import Command, JsonObject
from jessl.cli._inputs import ReadsEmbeddings
from jessl.cli._output import print_conclusion, print_lines, print_next, print_table, print_warnings
from jessl.config import Decompose
from jessl.schema import COMPONENT_NAMES, component_title

if TYPE_CHECKING:
    from jessl.embeddings import Embeddings
    from jessl.risk import RiskDecomposition

# libraries whose encoders have published weights
_PUBLISHED = ("timm", "torchvision", "hf")
_BAR_WIDTH = 40
_MOST_SUGGESTIONS = 3
_ESTIMATES = {"midpoint": "best of the family (midpoint)", "bias": "bias of the train risk"}


@dataclass(frozen=True, kw_only=True)
class DecomposeCommand(Command, ReadsEmbeddings, Decompose):
    """Find out where the error of a probe comes from: four signed components that sum to it.

    Attributes:
        evidence: a file that jessl zoo --out wrote, for the advice; None: that of the published
            table of 169 models.
    """

    evidence: str | None = None

    def run(self) -> JsonObject:
        """Decompose."""
        from jessl.core.progress import ProgressBar
        from jessl.probes.probe import parse_kind
        from jessl.risk import decompose
        from jessl.risk.advice import advise
        from jessl.risk.evidence import read_evidence

        # report mistakes before the embeddings are read
        parse_kind(self.probe, self.options, "probe")
        evidence = None if self.evidence is None else read_evidence(self.evidence)
        supervised = None
        if self.supervised is not None:
            first, second = self.supervised
            supervised = (self.load_embeddings(first), self.load_embeddings(second))
        with ProgressBar("decomposition", unit="hyperparameters") as bar:
            decomposition = decompose(
                self,
                train=(train := self.load_embeddings(self.train)),
                test=self.load_embeddings(self.test),
                supervised=supervised,
                progress=bar.update,
            )
        advice = [one.as_json() for one in advise(decomposition, evidence)]
        return {
            "conclusion": decomposition.conclusion,
            **decomposition.as_json(),
            "advice": advice,
            "next": self._next(decomposition, train),
        }

    def _next(self, decomposition: RiskDecomposition, train: Embeddings) -> list[str]:
        """Commands that tell more about the largest component, or make it smaller."""
        largest = largest_component(decomposition)
        both = f"--train {shlex.quote(self.train)} --test {shlex.quote(self.test)}"
        if largest == "usability" and not self.probe.startswith("mlp"):
            return [f"jessl probe {both} --kind mlp"]  # does a stronger probe read more?
        if largest == "probe_generalization":
            commands = [f"jessl probe {both} --fraction .1 .3 1"]  # what more labels would bring
            unlabelled = 0 if train.labels is None else int((train.labels < 0).sum())
            if unlabelled:  # which of them to label
                pool = shlex.quote(self.train)
                commands.append(
                    f"jessl curate {pool} --budget {min(100, unlabelled)} --out curated"
                )
            return commands
        encoder = str(train.meta.get("encoder") or "")
        published = encoder.partition(":")[0] in _PUBLISHED
        if largest == "encoder_generalization":  # more images, for example those of the test set
            start = f"--encoder {shlex.quote(encoder)} --init pretrained"
            return [f"jessl pretrain --data MORE {start if published else '--init RUN'} --out more"]
        data = shlex.quote(str(train.meta.get("data") or "SRC"))
        known = shlex.quote(encoder) if published else "RUN"
        return [f"jessl select --encoders {known} timm:resnet50 --data {data} --out compared"]

    def show(self, result: JsonObject) -> None:
        """A row and a bar for each component, how they were estimated, and suggestions."""
        params = result["params"]
        print_conclusion(result)
        _print_components(result)
        other = "union" if result["order"] == "published" else "published"
        components = params[f"{other}_order"]
        print_lines(
            "",
            f"{other} order: probe generalization {components['probe_generalization']:.4f}, "
            f"encoder generalization {components['encoder_generalization']:.4f}",
        )
        print_lines(
            f"{params['probe']} probe, {params['estimator']} estimator"
            + (f", {params['folds']} folds" if params["folds"] else "")
            + f", {params['tuning']} tuning ({params['regularisation']}); "
            f"{params['train_rows']:,} training and {params['test_rows']:,} test images"
        )
        if result["merged"]:
            print_lines("usability includes approximation, as there are no --supervised embeddings")
        _print_suggestions(result["advice"])
        print_warnings(params)
        print_next(result["next"])


def largest_component(decomposition: RiskDecomposition) -> str:
    """The component that dominates, or has the largest value where the intervals do not decide."""
    if decomposition.dominant is not None:
        return decomposition.dominant
    names = COMPONENT_NAMES[1:] if decomposition.merged else COMPONENT_NAMES
    return max(names, key=lambda name: getattr(decomposition, name).value)


def _print_components(result: JsonObject) -> None:
    names = [*COMPONENT_NAMES[1:]] if result["merged"] else [*COMPONENT_NAMES]
    unit = "nats" if result["params"]["risk"] == "log_loss" else "error"
    largest = max(abs(result[name]["value"]) for name in [*names, "risk"]) or 1.0
    rows = []
    for name in [*names, "risk", *_ESTIMATES]:
        one = result[name]
        bar = "" if name in _ESTIMATES else _bar(one["value"], largest)
        title = _ESTIMATES.get(name, component_title(name))
        rows.append([title, one["value"], one["low"], one["high"], bar])
    print_table(["component", unit, "95 % from", "to", ""], rows)


def _bar(value: float, largest: float) -> str:
    """A line of blocks, with a minus in front where the value is negative."""
    blocks = round(_BAR_WIDTH * abs(value) / largest)
    return ("-" if value < 0 else "") + "█" * blocks


def _print_suggestions(advice: list[JsonObject]) -> None:
    """The first few, wrapped; the JSON document has all of them."""
    print_lines("", "what may help (associations in a table of models, not proof of a cause):")
    for one in advice[:_MOST_SUGGESTIONS]:
        basis = "" if one["sure"] == "no row" else f" [{one['sure']}]"
        print_lines(*wrap(one["text"] + basis, 100, initial_indent="- ", subsequent_indent="  "))
    if len(advice) > _MOST_SUGGESTIONS:
        print_lines(f"... and {len(advice) - _MOST_SUGGESTIONS} more in --json")
