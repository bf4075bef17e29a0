"""Options of `jessl.score`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Score:
    """Which label-free scores to compute of which embeddings.

    Attributes:
        embeddings: folder of embeddings, .npy, .npz or .safetensors file [n, d].
        scores: names (on the command line separated by commas): rankme, effective_rank,
            normalized_rank, alpha_req, nesum, stable_rank, participation_ratio, numerical_rank,
            condition_number, matrix_entropy, self_cluster, coherence, uniformity, twonn, idest,
            sigreg; for embeddings of views also view_retrieval, cross_view_reliability,
            canonical_sum, plda_information, lidar, alignment; for embeddings of rotations rotation.
            Options of a score follow its name: alpha_req:first=5:last=50. spectral: all that need
            only the spectrum; all: all that the embeddings allow. package.module:NAME: a score
            of yours (docs/extending.md).
        jackknife: blocks of the error bar, 2 to 10,000; 0: no error bar. None: 20 for d up to
            2,048, 10 up to 4,096, 6 above; the interval widens accordingly. Each block costs one
            more spectrum (d = 2048: about half a second of a core; they run on all cores).
        converge: also compute the scores of a quarter and of half of the rows.
        seed: random seed of the blocks, and of the rows that costly scores choose.
    """

    embeddings: str
    scores: str | tuple[str, ...] = "rankme"
    jackknife: int | None = None
    converge: bool = False
    seed: int = 0
