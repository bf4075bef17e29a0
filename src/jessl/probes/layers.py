"""Linear classifiers of several layers, trained beside a pretraining on features it made anyway."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from jessl.core.collectives import all_reduce_sum, world
from jessl.core.validation import check_int

DEFAULT_LR = 3e-3
# rows that `accuracy` classifies at a time
_ROWS = 8192


class LayerProbes(nn.Module):
    """One linear classifier a layer; nothing flows back into the features.

    The layers of FFCV-SSL's probes (the backbone and every layer of the projector, AdamW). Unlike
    them they see each batch's features as the step made them, without another forward pass; know
    how many classes there are; and their top-5 is a top-5.

    A batch norm without parameters stands before the classifiers: layers differ in scale by
    orders of magnitude, and a scale changes while it is learnt, so that one learning rate would
    otherwise suit one layer at one time.

    The order of `widths` is the order of the tensors of the state.
    """

    def __init__(
        self, widths: dict[str, int], classes: int, *, lr: float = DEFAULT_LR, seed: int
    ) -> None:
        """
        Args:
            widths: features of each layer, by any name.
            classes: labels are 0, ..., classes - 1; at least 2.
            lr: learning rate of AdamW, > 0 (weights decay by torch's .01, biases not).
            seed: of the first weights; any whole number.

        Raises:
            ValueError: for a number out of its range, or no layer.
        """
        super().__init__()
        if not widths:
            raise ValueError("widths: at least one layer wanted, none came")
        if isinstance(lr, bool) or not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"lr must be a finite number above 0, got {lr}")
        self.widths = {k: check_int(f"widths of layer {k}", v, 1) for k, v in widths.items()}
        self.classes = check_int("classes", classes, 2)
        # one norm over the layers side by side: one pass, and few exchanges between processes
        self.norm = nn.BatchNorm1d(sum(self.widths.values()), affine=False)
        # a list: names of layers have dots, which names of modules must not
        self.classifiers = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, width, self.classes) for width in self.widths.values()
        )
        generator = torch.Generator().manual_seed(check_int("seed", seed, None) % 2**63)
        for linear in self._linears():
            nn.init.normal_(linear.weight, std=0.01, generator=generator)
            nn.init.zeros_(linear.bias)
        groups: list[dict[str, Any]] = [
            {"params": [linear.weight for linear in self._linears()]},
            {"params": [linear.bias for linear in self._linears()], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=lr, foreach=True)

    def _linears(self) -> Iterator[nn.Linear]:
        for linear in self.classifiers:
            assert isinstance(linear, nn.Linear)
            yield linear

    def observe(self, features: Mapping[str, torch.Tensor], labels: torch.Tensor) -> None:
        """One step of AdamW on the labelled rows; none where no process has a labelled row.

        All processes must call it together, with equally many rows each; with the norm
        synchronised over them they then make the step of one process on the whole batch.

        Args:
            features: [n, width] of each layer, n >= 2, of any floating type; they get no gradient.
            labels: int64 [n], -1 where missing; best on the CPU, where looking at them waits for
                no GPU.

        Raises:
            ValueError: for other layers, shapes or labels than those of the construction.
        """
        self._fitting(features, labels)
        labelled = int((labels >= 0).sum())
        device = next(self.parameters()).device
        counted = all_reduce_sum(torch.full((), float(labelled), device=device))
        # the sum is read, which waits for a GPU, only where it may be zero
        if not labelled and not counted.item():
            return
        target = labels.to(device, non_blocking=True)
        with torch.autocast(device.type, enabled=False):
            with torch.no_grad():
                self.norm.train()
                z = self.norm(torch.cat([features[k].float() for k in self.widths], dim=1))
            with torch.enable_grad():
                parts = z.split(list(self.widths.values()), dim=1)
                logits = [f(part) for f, part in zip(self._linears(), parts, strict=True)]
                # the layers' losses have no parameter in common: their sum trains each alone
                loss = functional.cross_entropy(
                    torch.cat(logits),
                    target.repeat(len(logits)),
                    ignore_index=-1,
                    reduction="sum",
                )
                self._optimizer.zero_grad()
                (loss / counted).backward()
        self._add_up()
        self._optimizer.step()

    def _fitting(self, features: Mapping[str, torch.Tensor], labels: torch.Tensor) -> None:
        if features.keys() != self.widths.keys():
            raise ValueError(f"features: layers {list(self.widths)} wanted, {list(features)} came")
        for layer, width in self.widths.items():
            if tuple(features[layer].shape) != (len(labels), width):
                raise ValueError(
                    f"features of {layer}: {[len(labels), width]} wanted (rows of labels, width), "
                    f"{list(features[layer].shape)} came"
                )
        # labels on a GPU are checked by its kernel: looking at them here would wait for it
        if labels.device.type == "cpu" and len(labels):
            low, high = int(labels.min()), int(labels.max())
            if low < -1 or high >= self.classes:
                raise ValueError(
                    f"labels must be -1 (missing) to {self.classes - 1}, got {low} to {high}"
                )

    def _add_up(self) -> None:
        """Gradients summed over the processes, in one exchange."""
        if world() == 1:
            return
        grads = [p.grad for p in self.parameters() if p.grad is not None]
        both = all_reduce_sum(torch.cat([grad.flatten() for grad in grads]))
        for grad, part in zip(grads, both.split([g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    @torch.no_grad()
    def accuracy(self, features: Mapping[str, Any], labels: Any) -> dict[str, dict[str, float]]:
        """How often each layer's classifier is right on rows that it did not learn from.

        Args:
            features: [n, width] arrays or tensors of some or all layers.
            labels: [n] whole numbers; rows below 0 (missing) are left out, and a class that was
                not there to learn is never right.

        Returns:
            {layer: {"top1": ..., "top5": ...}}, each 0..1; top5, whether the label is among the
            five likeliest, only of more than five classes.

        Raises:
            ValueError: for an unknown layer, shapes that do not fit, or no label at all.
        """
        device = next(self.parameters()).device
        y = torch.as_tensor(labels, device=device)
        rows = (y >= 0).nonzero().flatten()
        if not len(rows):
            raise ValueError(f"labels: not one of the {len(y)} rows has one")
        kept = {"top1": 1, "top5": 5} if self.classes > 5 else {"top1": 1}
        told = {}
        for layer, z in features.items():
            logits = self._logits(layer, torch.as_tensor(z), len(y))
            right = dict.fromkeys(kept, 0)
            for part in rows.split(_ROWS):
                best = logits(part).topk(max(kept.values()), dim=1).indices
                hit = best == y[part, None]
                for name, k in kept.items():
                    right[name] += int(hit[:, :k].sum())
            told[layer] = {name: count / len(rows) for name, count in right.items()}
        return told

    def _logits(
        self, layer: str, z: torch.Tensor, n: int
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """A function of rows: a layer's logits, with the scales that the training has seen."""
        if layer not in self.widths:
            raise ValueError(f"features: layers {list(self.widths)} wanted, {layer!r} came")
        width = self.widths[layer]
        if tuple(z.shape) != (n, width):
            raise ValueError(f"features of {layer}: {[n, width]} wanted, {list(z.shape)} came")
        at = list(self.widths).index(layer)
        first = sum(list(self.widths.values())[:at])
        here = slice(first, first + width)
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        mean, variance = self.norm.running_mean[here], self.norm.running_var[here]

        def logits(rows: torch.Tensor) -> torch.Tensor:
            x = z[rows.to(z.device)].to(mean.device).float()
            with torch.autocast(mean.device.type, enabled=False):
                return self.classifiers[at]((x - mean) * torch.rsqrt(variance + self.norm.eps))

        return logits

    def optimizer_state(self) -> dict[str, Any]:
        """The optimizer's state, which a resumed training needs beside `state_dict`."""
        return self._optimizer.state_dict()

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Go on from an `optimizer_state`."""
        self._optimizer.load_state_dict(state)

    def _apply(self, fn: Callable[..., torch.Tensor], recurse: bool = True) -> LayerProbes:
        """What `to` and its like do, the optimizer's moments included."""
        super()._apply(fn, recurse)
        for state in self._optimizer.state.values():
            for name, value in state.items():
                if name != "step":  # counted on the CPU wherever the weights are
                    state[name] = fn(value)
        return self
