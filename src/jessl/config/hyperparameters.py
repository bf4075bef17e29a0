"""Which fields of a pretraining configuration are hyperparameters: what makes two runs differ."""

from __future__ import annotations

from collections.abc import Mapping

# fields that change nothing of what is computed, or its rounding only, and fields that identify a
# run within a setting; data sets are compared by the checksum of their images
INCIDENTAL = frozenset(
    {
        *(
            "data",
            "labels",
            "x_key",
            "y_key",
            "bits",
            "value_range",
            "seed",
            "out",
            "resume",
            "device",
            "workers",
        ),
        *("checkpoint_epochs", "checkpoint_seconds", "keep_checkpoints", "log_steps"),
        *("log", "log_project"),
        *("evaluate_epochs", "online_probes", "compile", "micro_batch_size", "channels_last"),
        *("grad_checkpointing", "deterministic", "tune"),
        *("compute_dtype", "fused_optimizer", "torch_threads"),
        *("mean", "std", "teacher_sha256"),
    }
)
_OPTIONS = ("objective_options", "view_options")


def hyperparameters(config: Mapping[str, object]) -> dict[str, object]:
    """The fields of a configuration that define a run's setting, without its seed.

    Args:
        config: as `Pretrain.as_json` returns it.

    Example:
        >>> hyperparameters({"data": "digits", "lr": 0.1, "objective_options": {"cov": 4}})
        {'lr': 0.1, 'objective_options.cov': 4}
    """
    plain = {k: v for k, v in config.items() if k not in INCIDENTAL and k not in _OPTIONS}
    for name in _OPTIONS:
        options = config.get(name, {})
        if not isinstance(options, Mapping):
            raise ValueError(f"{name}: expected an object of options, got {options!r}")
        plain |= {f"{name}.{option}": value for option, value in options.items()}
    return plain
