"""Multinomial log-loss and its gradient for several sets of rows in one pass over the features."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from jessl.probes.base import Features
from jessl.probes.standardize import StandardisedRows

# entries of the matrix of logits held at a time
_ENTRIES = 2**21
# logit of a class without rows in a set: a probability of zero
_NEVER = -1e30


class SoftmaxLoss:
    """Mean log-losses of linear classifiers, one per set of rows, and their gradients.

    All sets share the features: a pass reads them once for any number of sets, and the products
    have sets x classes columns.

    Args:
        rows: standardised features [n, d].
        place: int [n], the class 0 .. classes-1 of each row.
        classes: how many there are.
        masks: the sets, bool [n] each.

    Attributes:
        counts: float64 [sets], rows in each.
        present: bool [sets, classes], whether a set has rows of a class.
    """

    def __init__(
        self,
        rows: StandardisedRows,
        place: NDArray[np.intp],
        classes: int,
        masks: Sequence[NDArray[np.bool_]],
    ) -> None:
        self.rows, self.place, self.classes = rows, place, classes
        self.counts = np.array([mask.sum() for mask in masks], np.float64)
        self.present = np.stack([np.bincount(place[mask], minlength=classes) > 0 for mask in masks])
        dtype = rows.dtype
        self._share = (np.stack(masks, axis=1) / self.counts).astype(dtype)
        self._class_offset = np.where(self.present, 0.0, _NEVER).astype(dtype)

    def __call__(
        self, weights: Features, bias: Features, at: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Losses and gradients of some of the sets.

        Args:
            weights: [d, sets, classes]; bias: [sets, classes]; at: [sets], the indices of the sets.

        Returns:
            (mean loss [sets] in nats, gradient of the weights, gradient of the biases).
        """
        d, sets, classes = weights.shape
        dtype = self.rows.dtype
        flat = np.ascontiguousarray(weights.reshape(d, -1), dtype)
        shift = bias.astype(dtype) + self._class_offset[at]
        shares = self._share[:, at]
        losses = np.zeros(sets)
        by_weight = np.zeros((d, sets * classes))
        by_bias = np.zeros((sets, classes))
        step = max(64, _ENTRIES // (sets * classes))
        for part, z in self.rows.chunks(step):
            logits = (z @ flat).reshape(len(z), sets, classes)
            logits += shift
            logits -= logits.max(axis=2, keepdims=True)
            own_class = self.place[part]
            row = np.arange(len(z))
            own = logits[row, :, own_class]
            np.exp(logits, out=logits)
            total = logits.sum(axis=2)
            share = shares[part]
            losses += ((np.log(total) - own) * share).sum(axis=0, dtype=np.float64)
            logits *= (share / total)[:, :, None]
            logits[row, :, own_class] -= share
            by_weight += z.T @ logits.reshape(len(z), -1)
            by_bias += logits.sum(axis=0, dtype=np.float64)
        return losses, by_weight.reshape(weights.shape), by_bias


class TorchSoftmaxLoss(SoftmaxLoss):
    """The same on a torch device in float32; the features stay on the device."""

    def __init__(
        self,
        rows: StandardisedRows,
        place: NDArray[np.intp],
        classes: int,
        masks: Sequence[NDArray[np.bool_]],
        device: str,
    ) -> None:
        import torch

        super().__init__(rows, place, classes, masks)
        chunks = [torch.from_numpy(np.array(z)) for _, z in rows.chunks(_ENTRIES)]
        self._z = torch.cat(chunks).to(device)
        self._at = torch.from_numpy(place.astype(np.int64)).to(device)
        self._weight = torch.from_numpy(self._share).to(device)
        self._never = torch.from_numpy(self._class_offset).to(device)

    def __call__(
        self, weights: Features, bias: Features, at: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """As on the CPU; only weights and gradients are transferred."""
        import torch

        d, sets, classes = weights.shape
        z_all = self._z
        flat = torch.as_tensor(weights.reshape(d, -1)).to(z_all)
        which = torch.from_numpy(at).to(z_all.device)
        shift = torch.as_tensor(bias).to(z_all) + self._never[which]
        shares = self._weight[:, which]
        losses = torch.zeros(sets, device=z_all.device, dtype=torch.float64)
        by_weight = torch.zeros_like(flat)
        by_bias = torch.zeros_like(shift)
        # small steps would leave the GPU idle, whose memory is larger than a CPU cache
        step = max(64, 64 * _ENTRIES // (sets * classes))
        for start in range(0, len(z_all), step):
            z = z_all[start : start + step]
            share = shares[start : start + step]
            own = self._at[start : start + step, None, None].expand(-1, sets, 1)
            logits = (z @ flat).view(len(z), sets, classes) + shift
            log_p = logits.log_softmax(dim=2)
            losses -= (log_p.gather(2, own)[:, :, 0] * share).sum(dim=0, dtype=torch.float64)
            gradient = log_p.exp_() * share[:, :, None]
            gradient.scatter_add_(2, own, -share[:, :, None])
            by_weight += z.T @ gradient.view(len(z), -1)
            by_bias += gradient.sum(dim=0)
        back = [t.double().cpu().numpy() for t in (losses, by_weight, by_bias)]
        return back[0], back[1].reshape(weights.shape), back[2]
