"""The verb `jessl.pretrain` and what it decides, builds and judges."""

from jessl.pretraining.finish import Stopped as Stopped
from jessl.pretraining.verb import pretrain as pretrain

__all__ = ["Stopped", "pretrain"]
