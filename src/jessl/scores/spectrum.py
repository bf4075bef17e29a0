"""Mergeable sums over rows from which the spectrum and all spectral scores follow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from jessl.core.deprecation import RenamedMember, renamed_arguments
from jessl.core.progress import ProgressCallback
from jessl.core.resources import check_memory
from jessl.core.validation import check_int
from jessl.scores.base import SpectralScore
from jessl.scores.gram.gram import RowSums, Spectra
from jessl.scores.gram.row_norms import BINS, squared_norm_histogram
from jessl.scores.jackknife import spectral_results_of_sums
from jessl.scores.metrics.rankme import rankme_from_eigenvalues
from jessl.scores.registry import parse_score
from jessl.scores.result import ScoreResult
from jessl.scores.rows import as_ids, as_rows, jackknife_blocks

FORMAT = "jessl.spectrum"


class Spectrum:
    """float64 sums over rows: Gram matrix, sum and count, for each jackknife block.

    Rows may arrive in any order, in chunks and from several processes; two states add up. The
    Gram matrix is float64 because a float32 one makes RankMe up to 3 % wrong. Memory: `nbytes`,
    8 d^2 bytes for each block and for the whole (d = 2048: 32 MiB; with 20 blocks 672 MiB). It is
    compared with the free memory before it is allocated.

    Example:
        spectrum = jessl.Spectrum(z.shape[1], blocks=20)
        for part in np.array_split(z, 10):
            spectrum.update(part)
        print(spectrum.score()["rankme"])

    Args:
        d: features of a row.
        blocks: jackknife blocks, 0 for none. A row's block is a seeded hash of its id.
        seed: of that hash.

    Raises:
        ValueError: for d below 1, blocks below 0 or equal to 1, or more memory than is free.
    """

    def __init__(self, d: int, *, blocks: int = 0, seed: int = 0) -> None:
        d, blocks, seed = (
            check_int("d", d, 1),
            check_int("blocks", blocks, 0),
            check_int("seed", seed, None),
        )
        if blocks == 1:
            raise ValueError(f"blocks: expected 0 or at least 2, got {blocks}")
        self.d, self.blocks, self.seed = d, blocks, seed
        what = f"Spectrum of {d} features" + (f" in {blocks} blocks" if blocks else "")
        check_memory(self.nbytes, what)
        self._sums = [RowSums.empty(d) for _ in range(max(blocks, 1))]
        self._norm_histogram = np.zeros(BINS, np.int64)
        self._whole: RowSums | None = None

    @property
    def nbytes(self) -> int:
        """Memory of the state in bytes."""
        return 8 * self.d**2 * (self.blocks + 1)

    @property
    def n(self) -> int:
        """Rows added so far."""
        return sum(s.count for s in self._sums)

    lengths = RenamedMember("norm_histogram")

    @property
    def counts(self) -> NDArray[np.int64]:
        """Rows of each block, int64 [blocks] ([1] without blocks)."""
        return np.array([s.count for s in self._sums], np.int64)

    def update(self, z: object, ids: object = None) -> Spectrum:
        """Add the rows of `z` and return the state.

        Large chunks are cheapest: a call costs at least blocks * d^2 operations. A CUDA tensor is
        summed on its device.

        Args:
            z: [n, d] array, tensor or Embeddings.
            ids: [n] whole numbers that name the rows; None: those of the Embeddings
                where z is one, else the running row numbers. They are required where several
                processes share the rows of one data set.

        Raises:
            ValueError: for another d, and for NaN or infinities (counted).
        """
        if ids is None and hasattr(z, "ids"):
            ids = z.ids
        rows = as_rows(z)
        if rows.shape[1] != self.d:
            raise ValueError(f"z: expected {self.d} features, got {rows.shape[1]}")
        n = len(rows)
        row_ids = np.arange(self.n, self.n + n) if ids is None else as_ids(ids, n)
        self._whole = None
        self._norm_histogram += squared_norm_histogram(rows)
        if not self.blocks:
            self._sums[0].add(rows)
            return self
        block_of_row = jackknife_blocks(row_ids, self.blocks, self.seed)
        for block in np.unique(block_of_row):
            self._sums[block].add(rows, np.flatnonzero(block_of_row == block))
        return self

    def merge(self, other: Spectrum) -> Spectrum:
        """Add another state to this one and return this one.

        Raises:
            ValueError: when d, blocks or seed differ.
        """
        if not isinstance(other, Spectrum):
            raise ValueError(f"other: expected a Spectrum, got {type(other).__name__}")
        for name in ("d", "blocks", "seed"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                raise ValueError(f"other: expected {name} = {mine}, got {theirs}")
        self._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]
        self._norm_histogram = self._norm_histogram + other._norm_histogram
        self._whole = None
        return self

    def all_reduce(self) -> Spectrum:
        """Replace the state of every process by the sum over all processes and return it.

        Call it once, after the last update, on every process, including those without rows. It
        changes nothing where torch.distributed is not initialised.

        Raises:
            ValueError: on every process, when d, blocks or seed differ between them.
        """
        import torch
        from torch import distributed

        if not (distributed.is_available() and distributed.is_initialized()):
            return self
        device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
        mine = torch.tensor([self.d, self.blocks, self.seed], device=device)
        others = [torch.empty_like(mine) for _ in range(distributed.get_world_size())]
        distributed.all_gather(others, mine)
        if any(not torch.equal(mine, other) for other in others):
            shapes = [tuple(other.tolist()) for other in others]
            raise ValueError(f"Spectrum: processes differ in (d, blocks, seed): {shapes}")

        def add_up(array: NDArray[np.float64] | NDArray[np.int64]) -> None:
            tensor = torch.from_numpy(array).to(device)
            distributed.all_reduce(tensor)
            array[...] = tensor.cpu().numpy()

        for sums in self._sums:
            count = np.array([sums.count])
            for array in (sums.gram, sums.total, count):
                add_up(array)
            sums.count = int(count[0])
        add_up(self._norm_histogram)
        self._whole = None
        return self

    def save(self, path: str | Path) -> Path:
        """Write the state atomically as one safetensors file; returns its path."""
        from safetensors.numpy import save_file

        from jessl.core.files import atomic_write

        arrays = {
            # one tensor each: stacking would copy all of them
            **{f"gram.{k}": s.gram for k, s in enumerate(self._sums)},
            "total": np.stack([s.total for s in self._sums]),
            "count": self.counts,
            "lengths": self._norm_histogram,
        }
        head = {"format": FORMAT, "blocks": str(self.blocks), "seed": str(self.seed)}
        with atomic_write(path) as part:
            save_file(arrays, part, metadata=head)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> Spectrum:
        """Read what `save` wrote.

        Raises:
            ValueError: naming the file, when it is missing, truncated or no saved Spectrum.
        """
        from safetensors import SafetensorError, safe_open

        path = Path(path)
        if not path.is_file():
            raise ValueError(f"no file {path}")
        try:
            with safe_open(path, framework="numpy") as file:
                head = file.metadata() or {}
                if head.get("format") != FORMAT:
                    raise ValueError("not a saved Spectrum")
                total, count, lengths = (file.get_tensor(k) for k in ("total", "count", "lengths"))
                if total.ndim != 2 or lengths.shape != (BINS,):
                    raise ValueError(f"shapes {total.shape} and {lengths.shape} are no Spectrum's")
                state = cls(total.shape[1], blocks=int(head["blocks"]), seed=int(head["seed"]))
                grams = [file.get_tensor(f"gram.{k}") for k in range(max(state.blocks, 1))]
            shapes = {(g.shape, str(g.dtype)) for g in grams}
            consistent = shapes == {((state.d, state.d), "float64")} and count.shape == (
                len(grams),
            )
            if not consistent or len(total) != len(grams):
                raise ValueError(f"shapes {shapes}, {total.shape}, {count.shape} do not match")
            counted = count.dtype == lengths.dtype == np.int64 and count.min() >= 0
            sound = np.isfinite(total).all() and all(
                np.isfinite(g).all() and g.diagonal().min() >= 0 for g in grams
            )
            if not (counted and sound and lengths.sum() == count.sum()):
                raise ValueError("its numbers are not sums over rows")
        except (SafetensorError, KeyError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from error
        state._norm_histogram = lengths
        state._sums = [RowSums(g, t, int(c)) for g, t, c in zip(grams, total, count, strict=True)]
        return state

    def spectra(self, without: int | None = None) -> Spectra:
        """Both spectra from one reduction: `.raw` and `.centred`, each as `eigenvalues` returns.

        Raises:
            ValueError: without rows, or when squares overflow float64.
        """
        return self._row_sums(without).spectra()

    def eigenvalues(
        self, *, center: bool = False, without: int | None = None
    ) -> NDArray[np.float64]:
        """Eigenvalues of the Gram matrix (squared singular values of the rows), largest first.

        Args:
            center: of the rows minus their mean.
            without: leave out this block.

        Returns:
            float64 [min(n, d)], clamped only at 0: RankMe adds eps once per eigenvalue, and a
            higher floor would bias it. All zero when the centred rows are constant
            up to the rounding of float32.

        Raises:
            ValueError: without rows, or when squares overflow float64.
        """
        spectra = self.spectra(without)
        return spectra.centred if center else spectra.raw

    def norm_histogram(self) -> NDArray[np.int64]:
        """Histogram of the rows' squared lengths (see `row_norms.squared_norm_histogram`)."""
        return self._norm_histogram

    def scatter(self) -> tuple[float, float]:
        """Sum of squares of all entries: of the rows, and of the rows minus their mean."""
        return self._row_sums(None).scatter()

    def rankme(self, *, eps: float = 1e-7, center: bool = False) -> float:
        """RankMe of the rows added so far; see `jessl.rankme`."""
        return rankme_from_eigenvalues(self.eigenvalues(center=center), eps=eps)

    @renamed_arguments(on_block="progress")
    def score(
        self,
        names: str | Iterable[str] = ("rankme",),
        *,
        progress: ProgressCallback | None = None,
    ) -> dict[str, ScoreResult]:
        """Scores of the rows added so far, with the spread where there are blocks.

        Args:
            names: as for `jessl.score`, limited to scores of the spectrum of raw or centred rows
                (for scores of unit rows: update a Spectrum with unit rows).
            progress: called with (spectra done, spectra in all).

        Raises:
            ValueError: for other scores, and without rows.
        """
        requests = [parse_score(n) for n in ([names] if isinstance(names, str) else names)]
        for request in requests:
            if not isinstance(request.score, SpectralScore) or request.score.rows == "unit":
                raise ValueError(f"{request.text}: needs the rows themselves; call jessl.score")
        self._row_sums(None).scatter()  # raises without rows
        sums = {"as they are": self}
        return spectral_results_of_sums(requests, sums, self.counts, self.d, self.seed, progress)

    def _row_sums(self, without: int | None) -> RowSums:
        if self._whole is None:
            self._whole = self._sums[0]
            for sums in self._sums[1:]:
                self._whole = self._whole + sums
        if without is None:
            return self._whole
        if not 0 <= without < self.blocks:
            raise ValueError(f"without: expected 0 .. {self.blocks - 1}, got {without}")

        def sum_others() -> RowSums:
            rest = RowSums.empty(self.d)
            for block, sums in enumerate(self._sums):
                rest = rest if block == without else rest + sums
            return rest

        return self._whole.without(self._sums[without], sum_others)
