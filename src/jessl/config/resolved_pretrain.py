"""The configuration of a pretraining in which every value is decided."""

from __future__ import annotations

from dataclasses import dataclass, field

from jessl.config.pretrain import Pretrain


@dataclass(frozen=True, kw_only=True)
class ResolvedPretrain(Pretrain):
    """`Pretrain` with a value for every field that a user may leave to the data and the device.

    `jessl.pretraining.defaults.resolve` makes it; config.json holds it under "chosen". Fields that
    are optional here as well are off when they are None (`init`, `clip_norm`, `start_size` ...).

    Example:
        run.resolved_config().batch_size
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
    holdout: int = field()
    evaluate_epochs: int = field()
    checkpoint_epochs: int = field()
    log_steps: int = field()
