"""The verb `jessl.pretrain`: defaults, parts of a training, run folder, evaluation.

May import extraction, training, scores and probes, and what lies below.
"""

from jessl.pretraining.pretrain import pretrain as pretrain

__all__ = ["pretrain"]
