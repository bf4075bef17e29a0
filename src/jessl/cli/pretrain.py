"""The command `jessl pretrain`: here, in the processes of torchrun, or as a job of a cluster."""

from __future__ import annotations

import dataclasses
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from jessl.cli._command import Command, JsonObject, ValueRangeOption, options_of
from jessl.cli._inputs import data_options, submits
from jessl.cli._output import print_job, print_next
from jessl.cli._signals import end_if_stopped, stop_on_signals
from jessl.conclusion import run_conclusion
from jessl.config import Pretrain
from jessl.schema import ADAPTATION

if TYPE_CHECKING:
    from jessl.runs import Run


@dataclass(frozen=True, kw_only=True)
class PretrainCommand(Command, Pretrain):
    """Train an encoder on images without labels, then score it without labels.

    Only --data is needed; everything else is chosen from the data and printed before the training
    starts. With --resume and --out it may be left out: the run knows its images.

    Attributes:
        recipe: a published run whose settings to use, see docs/recipes.md; other options override
            it. The learning rate is scaled with the batch size, and the warm-up with the epochs.
        slurm: submit it as a job instead; the job is queued again when it is preempted or its time
            is over, and continues where it was (needs jessl[slurm]).
        slurm_options: options of the job, such as partition gpu nodes 2 gpus_per_node 8 timeout_min
            600.
    """

    # needed but for --resume, see `config`
    data: str = ""
    value_range: ValueRangeOption = None
    recipe: str | None = None
    slurm: bool = False
    slurm_options: dict[str, int | str] = field(default_factory=dict)

    def config(self) -> Pretrain:
        """The configuration to train, with the recipe's settings where the user gave none.

        Raises:
            ValueError: without data, unless they are those of the run that is resumed.
        """
        options = options_of(Pretrain, self)
        if not options.data:
            options = _with_the_data_of_its_run(options)
        if self.recipe is None:
            return options
        return override_recipe(self.recipe, options, self.given)

    def run(self) -> JsonObject:
        """Train and write the report, or submit the job that will."""
        config = self.config()
        if submits(self.slurm, self.slurm_options):
            from jessl.launch.slurm import submit

            return submit(config, self.slurm_options)
        from jessl.core.log import is_first_process
        from jessl.pretraining import pretrain
        from jessl.report import write_report

        with stop_on_signals("continue with --resume") as stop:
            run = pretrain(config, stop=stop, explicit_fields=self.given)
            if not is_first_process():
                return {}
            report = write_report(run.path)
            end_if_stopped(stop, run.path)
        scores = {
            r.name: {"value": r.value, "sd": r.sd, "low": r.low, "high": r.high, **r.extra}
            for r in run.records()
            if r.split == "pretrain" and r.name.startswith("rankme/")
        }
        conclusion = run_conclusion(run.records())
        compared = [r.extra for r in run.records() if r.name == ADAPTATION]
        return {
            "run": str(run.path),
            "report": str(report),
            "config": run.resolved_config().as_json(),
            "facts": run.facts(),
            "scores": scores,
            "conclusion": None if conclusion is None else conclusion.text,
            "next": [
                *([] if compared or (conclusion and conclusion.helped) else _compare(run)),
                *next_commands(run, better_weights(run, compared)),
            ],
            **({"adaptation": compared[-1]} if compared else {}),
        }

    def show(self, result: JsonObject) -> None:
        """Where the results are, and what can be done with them."""
        print_job(result)
        print_next(result.get("next", ()))


def _with_the_data_of_its_run(options: Pretrain) -> Pretrain:
    from jessl.runs import Run, is_run

    if not (options.resume and options.out and is_run(options.out)):
        raise ValueError("expected --data; see jessl pretrain --help")
    run = Run.open(options.out).config()
    return dataclasses.replace(options, data=run.data, labels=options.labels or run.labels)


def better_weights(run: Run, compared: list[JsonObject]) -> Path:
    """The run, or the weights that it began with where it is not better than these."""
    if compared and compared[-1].get("chosen") == "before":
        from jessl.pretraining.adaptation import start_checkpoint

        return start_checkpoint(run)
    return run.path


def _compare(run: Run) -> list[str]:
    """The command that compares a run whose training is not seen to help with other encoders."""
    config, path = run.resolved_config(), shlex.quote(str(run.path))
    data = data_options(config.data, config.x_key, config.bits, config.value_range)
    return [f"jessl select --encoders {path} timm:resnet50.a1_in1k pixels {data} --out compared"]


def next_commands(run: Run, encoder: Path) -> list[str]:
    """Commands that use an encoder of a run, on images that are read as it read them."""
    from jessl.embeddings import Embeddings

    config, path = run.resolved_config(), shlex.quote(str(run.path))
    weights = shlex.quote(str(encoder))
    data = data_options(config.data, config.x_key, config.bits, config.value_range)
    z = Embeddings.load(run.embeddings("backbone"), mmap=True)
    unlabelled = len(z) if z.labels is None else int((z.labels < 0).sum())
    budget = f" --budget {min(100, unlabelled)}" if unlabelled else ""
    return [
        f"jessl curate {path} {data}{budget} --out curated",
        f"jessl classify --encoder {weights} {data} --labels FEW.csv --out predictions.csv",
        f"jessl export {weights} exported",
    ]


def override_recipe(recipe: str, options: Pretrain, given: frozenset[str]) -> Pretrain:
    """The recipe's configuration, overridden by the fields `given` of `options`."""
    from jessl.recipes import named

    base = named(recipe, options.data)
    changes = {
        f.name: getattr(options, f.name) for f in dataclasses.fields(Pretrain) if f.name in given
    }
    for name, owner in (("objective_options", "objective"), ("view_options", "views")):
        # options belong to the recipe's objective and views, not to others
        inherited = {} if owner in changes else getattr(base, name)
        changes[name] = {**inherited, **changes.get(name, {})}
    batch_size = changes.get("batch_size")
    if batch_size and "lr" not in changes and base.lr and base.batch_size:
        changes["lr"] = base.lr * batch_size / base.batch_size
    epochs = changes.get("epochs")
    if epochs and "warmup_epochs" not in changes and base.warmup_epochs and base.epochs:
        changes["warmup_epochs"] = base.warmup_epochs * epochs / base.epochs
    return dataclasses.replace(base, **changes)
