"""Label-free scores of embeddings, one file each, over one mergeable state of the spectrum."""

from __future__ import annotations

from jessl.scores.gram.in_memory_gram import spectra_of
from jessl.scores.gram.spectrum import Spectrum
from jessl.scores.result import ScoreResult

# last and eager: the files bear the functions' names, and a later import of a file would
# otherwise put the module in the function's place
from jessl.scores.registry import SCORES, SPECTRAL  # isort: skip
from jessl.scores.metrics.rankme import rankme  # isort: skip
from jessl.scores.score import score  # isort: skip

__all__ = ["SCORES", "SPECTRAL", "ScoreResult", "Spectrum", "rankme", "score", "spectra_of"]
