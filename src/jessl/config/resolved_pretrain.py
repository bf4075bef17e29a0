"""The configuration of a pretraining in which every value is decided."""

from __future__ import annotations

from dataclasses import dataclass

from jessl.config.pretrain import Pretrain


@dataclass(frozen=True, kw_only=True)
class ResolvedPretrain(Pretrain):
    """`Pretrain` with a value for every field that a user may leave to the data and the device.

    `jessl.pretraining.defaults.resolve` makes it; config.json holds it under "chosen". Fields that
    are optional here as well are off when they are None (`init`, `clip_norm`, `start_size` ...).

    Example:
        run.resolved_config().batch_size
    """

    encoder: str
    size: int
    epochs: int
    batch_size: int
    lr: float
    weight_decay: float
    warmup_epochs: float
    channels_last: bool = False
    holdout: int
    evaluate_epochs: int
    checkpoint_epochs: int
    log_steps: int
