"""The command that trains: here, in the processes of torchrun, or as a job of a cluster."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass, field
from typing import Any

from jessl.cli._base import Interrupted, stoppable
from jessl.config import Pretrain


@dataclass(kw_only=True)
class PretrainCommand:
    """Train an encoder on images without labels, then judge it without labels.

    Only --data is needed; what is left out is chosen from the data and told before it starts.

    Attributes:
        recipe: a published run whose settings to take, see docs/recipes.md; other options go over
            it; the learning rate follows the batch size, and the warm-up the epochs.
        slurm: submit it as a job instead, which is queued again when it is preempted or its time is
            over, and goes on where it was (needs jessl[slurm]).
        slurm_options: of the job, such as partition gpu nodes 2 gpus_per_node 8 timeout_min 600.
        json: print the answer as JSON on standard output.
        given: names of the options on the command line, which go over a recipe even where they
            are what they would be anyway.
    """

    config: Pretrain
    recipe: str | None = None
    slurm: bool = False
    slurm_options: dict[str, int | str] = field(default_factory=dict)
    json: bool = False
    given: frozenset[str] = field(init=False, default=frozenset())

    def run(self) -> dict[str, Any]:
        """Train and write the report, or submit the job that will."""
        config = self.config
        if self.recipe is not None:
            config = over_recipe(self.recipe, config, self.given)
        if self.slurm:
            if os.environ.get("WORLD_SIZE", "1") != "1":
                raise ValueError("slurm: torchrun would submit a job a process; leave it out")
            from jessl.launch.slurm import submit

            return submit(config, self.slurm_options)
        if self.slurm_options:
            raise ValueError("slurm_options are read with --slurm only; add it, or leave them out")
        from jessl.core.interruption import Stopped
        from jessl.core.log import is_first_process
        from jessl.pretraining import pretrain
        from jessl.report import write_report

        with stoppable() as stop:
            try:
                run = pretrain(config, stop=stop, explicit_fields=self.given)
            except Stopped as stopped:
                raise Interrupted(f"{stopped}; go on with --resume") from None
        if not is_first_process():
            return {}
        report = write_report(run.path)
        final = {
            r.name: {"value": r.value, "sd": r.sd, "low": r.low, "high": r.high, **r.extra}
            for r in run.records()
            if r.split == "pretrain" and r.name.startswith("rankme/")
        }
        return {
            "run": str(run.path),
            "report": str(report),
            "config": run.resolved_config().as_json(),
            "facts": run.facts(),
            "scores": final,
        }

    def show(self, answer: dict[str, Any]) -> None:
        """Where to look."""
        for name in ("report", "job", "logs", "watch"):
            if name in answer:
                print(f"{name:<9} {answer[name]}")


def over_recipe(recipe: str, asked: Pretrain, names: frozenset[str]) -> Pretrain:
    """The recipe's configuration with what was asked for, the fields `names`, put over it."""
    from jessl.recipes import named

    base = named(recipe, asked.data)
    given = {
        f.name: getattr(asked, f.name) for f in dataclasses.fields(Pretrain) if f.name in names
    }
    for options, owner in (("objective_options", "objective"), ("view_options", "views")):
        # options belong to the recipe's objective and views, not to others
        kept = {} if owner in given else getattr(base, options)
        given[options] = {**kept, **given.get(options, {})}
    batch = given.get("batch_size")
    if batch and "lr" not in given and base.lr and base.batch_size:
        given["lr"] = base.lr * batch / base.batch_size
    epochs = given.get("epochs")
    if epochs and "warmup_epochs" not in given and base.warmup_epochs and base.epochs:
        given["warmup_epochs"] = base.warmup_epochs * epochs / base.epochs
    return dataclasses.replace(base, **given)
