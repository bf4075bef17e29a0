"""Label-free scores of embeddings: one file each in metrics/, over one mergeable spectrum.

May import embeddings and core.
"""

from __future__ import annotations

from jessl.scores.base import RowScore, RowScoreResult, SpectralScore
from jessl.scores.gram.in_memory_gram import compute_spectra
from jessl.scores.result import ScoreResult
from jessl.scores.spectrum import Spectrum

# last and eager: the files bear the functions' names, and a later import of a file would
# otherwise put the module in the function's place
from jessl.scores.registry import SCORES, SPECTRAL, register_score  # isort: skip
from jessl.scores.metrics.rankme import rankme  # isort: skip
from jessl.scores.score import score  # isort: skip

__all__ = [
    "SCORES",
    "SPECTRAL",
    "RowScore",
    "RowScoreResult",
    "ScoreResult",
    "SpectralScore",
    "Spectrum",
    "compute_spectra",
    "rankme",
    "register_score",
    "score",
]
