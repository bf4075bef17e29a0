"""The verb `jessl.pretrain` and what it decides, builds and judges."""

from jessl.pretraining.verb import Stopped as Stopped
from jessl.pretraining.verb import pretrain as pretrain

__all__ = ["Stopped", "pretrain"]
