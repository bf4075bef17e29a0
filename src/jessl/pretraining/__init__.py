"""The verb `jessl.pretrain` and what it decides, builds and judges."""

from jessl.pretraining.pretrain import pretrain as pretrain

__all__ = ["pretrain"]
