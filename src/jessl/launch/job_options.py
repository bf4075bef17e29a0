"""Options of a SLURM job: their names, defaults and ranges, and their names in submitit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from jessl.core.validation import check_choice, check_int, unknown_name

CLUSTERS = ("local", "slurm")
TEXTS = ("account", "cluster", "constraint", "name", "partition", "qos")
# whole numbers and the least they can be
NUMBERS = {
    "cpus_per_task": 1,
    "gpus_per_node": 0,
    "mem_gb": 1,
    "nodes": 1,
    "tasks_per_node": 1,
    "timeout_min": 1,
}

_TIMEOUT_MIN = 24 * 60
# threads that decode, beside the one that trains; SLURM gives a task one core by default
_CPUS_PER_TASK = 8
# between the signal and the end: a step, the evaluation of an epoch, and writing the checkpoint
_NOTICE_SECONDS = 300


class Work(Protocol):
    """The options of a verb from which those of its job follow."""

    @property
    def device(self) -> str: ...

    @property
    def workers(self) -> int | None: ...


@dataclass(frozen=True)
class JobOptions:
    """Options of a job, complete and checked.

    Attributes:
        cluster: "slurm", or "local" for processes on this machine.
        numbers: by name, see NUMBERS; texts: by name, see TEXTS, without the cluster.
    """

    cluster: str
    numbers: dict[str, int]
    texts: dict[str, str]

    @classmethod
    def parse(cls, options: dict[str, str | int], config: Work) -> JobOptions:
        """The options with defaults for those left out, and numbers as numbers.

        Raises:
            ValueError: for an unknown option, or a value out of range.
        """
        numbers = {
            "nodes": 1,
            "timeout_min": _TIMEOUT_MIN,
            "gpus_per_node": 0 if config.device == "cpu" else 1,
            "cpus_per_task": config.workers or _CPUS_PER_TASK,
        }
        texts = {}
        for name, value in options.items():
            if name in NUMBERS:
                number = int(value) if isinstance(value, str) and value.isdecimal() else value
                numbers[name] = check_int(f"slurm option {name}", number, NUMBERS[name])
            elif name in TEXTS:
                texts[name] = str(value)
            else:
                raise ValueError(unknown_name("slurm option", name, [*TEXTS, *NUMBERS]))
        cluster = check_choice("cluster", texts.pop("cluster", "slurm"), CLUSTERS)
        if cluster == "local" and numbers["nodes"] > 1:
            raise ValueError(f"cluster 'local' is this machine alone, got nodes {numbers['nodes']}")
        numbers.setdefault("tasks_per_node", numbers["gpus_per_node"] or 1)
        return cls(cluster, numbers, texts)

    def submitit_parameters(self, name: str) -> dict[str, object]:
        """The options as submitit's executors name them.

        Args:
            name: of the job, where the user gave none.
        """
        parameters: dict[str, object] = {"name": name, **self.numbers}
        if self.numbers["gpus_per_node"] == 0:
            del parameters["gpus_per_node"]  # clusters without GPUs refuse the option at 0
        for option, value in self.texts.items():
            if option == "name":
                parameters["name"] = value
            elif self.cluster == "slurm":
                parameters[f"slurm_{option}"] = value
        if self.cluster == "slurm":
            parameters["slurm_additional_parameters"] = {"requeue": True}
            notice = min(_NOTICE_SECONDS, 15 * self.numbers["timeout_min"])
            parameters["slurm_signal_delay_s"] = notice
        return {**parameters, "stderr_to_stdout": True}
