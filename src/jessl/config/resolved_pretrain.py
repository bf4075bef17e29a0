"""The configuration of a pretraining in which every value is decided."""

from __future__ import annotations

from dataclasses import dataclass, field

from jessl.config.pretrain import Pretrain


@dataclass(frozen=True, kw_only=True)
class ResolvedPretrain(Pretrain):
    """`Pretrain` with a value for every field that a user may leave to the data and the device.

    `jessl.pretraining.defaults.resolve` makes it; config.json holds it under "chosen". Fields that
    are optional here as well are off when they are None (`init`, `clip_norm`, `start_size` ...).
    `precision` stays as the user gave it, so that runs of one setting on two machines are one
    setting.

    Example:
        run.resolved_config().batch_size

    Attributes:
        compute_dtype: of the forward passes: "float32", "bfloat16" or "float16"; None in runs of
            earlier releases: by `precision` and the device.
        teacher_sha256: of the teacher's weights, or of its features where they were given.
        fused_optimizer: update all parameters by one kernel.
        torch_threads: of an operation on the CPU; None: as the process has it.
        mean, std: of each band of the images, in units of the pixel range [0, 1], where they keep
            their bands (`bands:PATH`); the encoder takes as many channels. None: RGB, with the
            normalisation of the encoder.
    """

    # field() takes the default None of Pretrain away
    encoder: str = field()
    size: int = field()
    epochs: int = field()
    batch_size: int = field()
    lr: float = field()
    weight_decay: float = field()
    warmup_epochs: float = field()
    channels_last: bool = False
    compile: bool = False
    compute_dtype: str | None = None
    teacher_sha256: str | None = None
    fused_optimizer: bool = False
    torch_threads: int | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    holdout: int = field()
    evaluate_epochs: int = field()
    checkpoint_epochs: int = field()
    log_steps: int = field()
