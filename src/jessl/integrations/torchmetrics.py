"""RankMe as a metric of torchmetrics (Garrido et al., ICML 2023, arXiv 2210.02885)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor

from jessl.scores.gram.gram import RowSums
from jessl.scores.metrics.rankme import EPS, rankme_from_eigenvalues
from jessl.scores.rows import as_rows, is_cuda_tensor

try:
    from torchmetrics import Metric
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "jessl.integrations.torchmetrics needs torchmetrics: pip install 'jessl[integrations]'"
    ) from error


class RankMe(Metric):
    """RankMe of all rows given to `update`, on all processes; equal to `jessl.rankme`.

    The states are float64 sums (Gram matrix, of which the upper triangle counts; sum; number of
    rows), so that processes may have unequal shares or none. They stay float64 under `half()`,
    `set_dtype` and `.to(dtype)`: a float32 Gram matrix makes RankMe up to 3 % wrong. Memory: 8 d^2
    bytes (d = 2048: 32 MiB), and while W processes synchronise W times as much; `compute` takes
    the eigenvalues on the CPU. Call `update`, not `forward`, on batches: forward also computes
    RankMe of each batch.

    Args:
        d: features of a row.
        eps: as in `jessl.rankme`, at least 0.
        center: subtract the mean row first; the published score does not.
        kwargs: of torchmetrics.Metric (`sync_on_compute`, `dist_sync_on_step`, ...).

    Raises:
        ValueError: for d below 1 or a negative eps, and when it is moved to MPS.
    """

    is_differentiable = False
    higher_is_better = True
    full_state_update = False

    gram: Tensor
    total: Tensor
    count: Tensor

    def __init__(self, d: int, *, eps: float = EPS, center: bool = False, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if d < 1:
            raise ValueError(f"d: expected at least 1 feature, got {d}")
        if not eps >= 0:
            raise ValueError(f"eps: expected a number of at least 0, got {eps}")
        self.d, self.eps, self.center = d, eps, center
        self._warned_half = False
        float64 = torch.float64
        self.add_state("gram", torch.zeros(d, d, dtype=float64), dist_reduce_fx="sum")
        self.add_state("total", torch.zeros(d, dtype=float64), dist_reduce_fx="sum")
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, z: object) -> None:
        """Add rows.

        Args:
            z: [n, d] tensor (of any device) or array; n may be 0. float32 or float64: half
                precision warns once, it makes RankMe up to 13 % wrong.

        Raises:
            ValueError: for another shape, and for NaN or infinities (counted).
        """
        if getattr(z, "shape", None) == (0, self.d):
            return
        dtype = getattr(z, "dtype", None)
        if dtype in (torch.float16, torch.bfloat16) and not self._warned_half:
            self._warned_half = True
            warnings.warn(f"z: {dtype} makes RankMe up to 13 % wrong", UserWarning, stacklevel=3)
        rows = as_rows(z)
        if rows.shape[1] != self.d:
            raise ValueError(f"z: expected {self.d} features, got {rows.shape[1]}")
        device = self.gram.device
        if device.type == "cpu":
            sums = RowSums(self.gram.contiguous().numpy(), self.total.numpy(), 0)
            sums.add(rows.cpu().numpy() if is_cuda_tensor(rows) else rows)
            self.gram, self.total = torch.from_numpy(sums.gram), torch.from_numpy(sums.total)
        else:
            double = torch.as_tensor(rows, device=device).double()
            self.gram = torch.addmm(self.gram, double.T, double)
            self.total = self.total + double.sum(dim=0)
        self.count = self.count + len(rows)

    def compute(self) -> Tensor:
        """RankMe of the rows so far, a float64 scalar.

        Raises:
            ValueError: when there are no rows, or when squares overflow float64.
        """
        sums = RowSums(self.gram.cpu().numpy(), self.total.cpu().numpy(), int(self.count))
        spectra = sums.spectra()
        eigenvalues = spectra.centred if self.center else spectra.raw
        value = rankme_from_eigenvalues(eigenvalues, eps=self.eps)
        return torch.tensor(value, dtype=torch.float64, device=self.gram.device)

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> Self:
        """Move the states, but keep their types: every conversion of torch goes through here."""

        def moved(tensor: Tensor) -> Tensor:
            device = fn(torch.zeros(1, device=tensor.device)).device
            _refuse_mps(device)
            return tensor.to(device)

        return super()._apply(moved, exclude_state)


def _refuse_mps(device: torch.device) -> None:
    if device.type == "mps":
        raise ValueError(
            "device: MPS has no float64, which the sums need; keep the metric on the CPU and out "
            "of the module (update takes rows of any device)"
        )
