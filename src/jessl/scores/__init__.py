"""Label-free scores of embeddings, one file each, over one mergeable state of the spectrum."""

from __future__ import annotations

from jessl.scores.held import spectra_of
from jessl.scores.result import ScoreResult
from jessl.scores.spectrum import Spectrum

# last and eager: the files bear the functions' names, and a later import of a file would
# otherwise put the module in the function's place
from jessl.scores.registry import SCORES, SPECTRAL  # isort: skip
from jessl.scores.rankme import rankme  # isort: skip
from jessl.scores.score import score  # isort: skip

__all__ = ["SCORES", "SPECTRAL", "ScoreResult", "Spectrum", "rankme", "score", "spectra_of"]
