"""Linear classifiers of several layers, trained during pretraining on features of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import nn
from torch.nn import functional

from jessl.core.collectives import all_reduce_sum, world
from jessl.core.devices import to_device
from jessl.core.validation import check_int

DEFAULT_LR = 3e-3
# rows that `accuracy` classifies at a time
_ROWS = 8192


class LayerProbes(nn.Module):
    """One linear classifier per layer; no gradient flows into the features.

    The layers are those of FFCV-SSL's probes (the backbone and every layer of the projector), with
    AdamW. There are three differences: they use the features of the training step, without a
    further forward pass; the number of classes is known; and top-5 is computed over five classes.

    A batch norm without parameters precedes the classifiers: the scales of layers differ by orders
    of magnitude and change during training, so a single learning rate would otherwise suit only one
    layer at one time.

    The order of `widths` determines the order of the tensors in the state.
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
            ValueError: for a number out of range, or no layer.
        """
        super().__init__()
        if not widths:
            raise ValueError("widths: expected at least one layer, got none")
        if isinstance(lr, bool) or not (math.isfinite(lr) and lr > 0):
            raise ValueError(f"lr: expected a finite number above 0, got {lr}")
        self.widths = {k: check_int(f"widths of layer {k}", v, 1) for k, v in widths.items()}
        self.classes = check_int("classes", classes, 2)
        # one norm over the concatenated layers: one pass, and fewer exchanges between processes
        self.norm = nn.BatchNorm1d(sum(self.widths.values()), affine=False)
        # a list, as names of layers contain dots, which names of modules must not
        self.classifiers = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, width, self.classes) for width in self.widths.values()
        )
        generator = torch.Generator().manual_seed(check_int("seed", seed, None) % 2**63)
        for linear in self._linears():
            nn.init.normal_(linear.weight, std=0.01, generator=generator)
            nn.init.zeros_(linear.bias)
        groups: list[dict[str, object]] = [
            {"params": [linear.weight for linear in self._linears()]},
            {"params": [linear.bias for linear in self._linears()], "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=lr, foreach=True)

    def _linears(self) -> Iterator[nn.Linear]:
        for linear in self.classifiers:
            assert isinstance(linear, nn.Linear)
            yield linear

    def observe(self, features: Mapping[str, torch.Tensor], labels: torch.Tensor) -> None:
        """One step of AdamW on the labelled rows; no step where no process has a labelled row.

        All processes must call it together, each with the same number of rows. With a norm
        synchronised over them this equals the step of one process on the whole batch.

        Args:
            features: [n, width] of each layer, n >= 2, of any floating type; they get no gradient.
            labels: int64 [n], -1 where missing; best on the CPU, where checking them does not wait
                for a GPU.

        Raises:
            ValueError: for layers, shapes or labels that differ from those of the constructor.
        """
        self._check(features, labels)
        labelled = int((labels >= 0).sum())
        device = next(self.parameters()).device
        counted = all_reduce_sum(torch.full((), float(labelled), device=device))
        # reading the sum waits for the GPU, so it is read only where it may be zero
        if not labelled and not counted.item():
            return
        target = to_device(labels, device)
        with torch.autocast(device.type, enabled=False):
            with torch.no_grad():
                self.norm.train()
                z = self.norm(torch.cat([features[k].float() for k in self.widths], dim=1))
            with torch.enable_grad():
                parts = z.split(list(self.widths.values()), dim=1)
                logits = [f(part) for f, part in zip(self._linears(), parts, strict=True)]
                # the losses of the layers share no parameters: their sum trains each independently
                loss = functional.cross_entropy(
                    torch.cat(logits),
                    target.repeat(len(logits)),
                    ignore_index=-1,
                    reduction="sum",
                )
                self._optimizer.zero_grad()
                (loss / counted).backward()
        self._all_reduce_gradients()
        self._optimizer.step()

    def _check(self, features: Mapping[str, torch.Tensor], labels: torch.Tensor) -> None:
        if features.keys() != self.widths.keys():
            raise ValueError(f"features: expected layers {list(self.widths)}, got {list(features)}")
        for layer, width in self.widths.items():
            if tuple(features[layer].shape) != (len(labels), width):
                raise ValueError(
                    f"features of {layer}: expected {[len(labels), width]} (labels, width), "
                    f"got {list(features[layer].shape)}"
                )
        # labels on a GPU are checked by the loss kernel, as reading them here would wait for it
        if labels.device.type == "cpu" and len(labels):
            low, high = int(labels.min()), int(labels.max())
            if low < -1 or high >= self.classes:
                raise ValueError(
                    f"labels: expected -1 (missing) to {self.classes - 1}, got {low} to {high}"
                )

    def _all_reduce_gradients(self) -> None:
        """Sum the gradients over the processes, in one exchange."""
        if world() == 1:
            return
        grads = [p.grad for p in self.parameters() if p.grad is not None]
        both = all_reduce_sum(torch.cat([grad.flatten() for grad in grads]))
        for grad, part in zip(grads, both.split([g.numel() for g in grads]), strict=True):
            grad.copy_(part.view_as(grad))

    @torch.no_grad()
    def accuracy(
        self, features: Mapping[str, object], labels: object
    ) -> dict[str, dict[str, float]]:
        """Accuracy of each layer's classifier on held-out rows.

        Args:
            features: [n, width] arrays or tensors of some or all layers.
            labels: [n] whole numbers; rows below 0 (missing) are left out, and classes beyond the
                trained ones are always wrong.

        Returns:
            {layer: {"top1": ..., "top5": ...}}, each 0..1; top5, the share of labels among the five
            likeliest, only with more than five classes.

        Raises:
            ValueError: for an unknown layer, inconsistent shapes, or no labels.
        """
        device = next(self.parameters()).device
        y = torch.as_tensor(labels, device=device)
        rows = (y >= 0).nonzero().flatten()
        if not len(rows):
            raise ValueError(f"labels: expected at least one label, got none in {len(y)} rows")
        counts = {"top1": 1, "top5": 5} if self.classes > 5 else {"top1": 1}
        accuracies = {}
        for layer, z in features.items():
            logits = self._logits(layer, torch.as_tensor(z), len(y))
            right = dict.fromkeys(counts, 0)
            for part in rows.split(_ROWS):
                best = logits(part).topk(max(counts.values()), dim=1).indices
                hit = best == y[part, None]
                for name, k in counts.items():
                    right[name] += int(hit[:, :k].sum())
            accuracies[layer] = {name: count / len(rows) for name, count in right.items()}
        return accuracies

    def _logits(
        self, layer: str, z: torch.Tensor, n: int
    ) -> Callable[[torch.Tensor], torch.Tensor]:
        """A function of row indices: a layer's logits, with the running statistics of training."""
        if layer not in self.widths:
            raise ValueError(f"features: expected layers {list(self.widths)}, got {layer!r}")
        width = self.widths[layer]
        if tuple(z.shape) != (n, width):
            raise ValueError(f"features of {layer}: expected {[n, width]}, got {list(z.shape)}")
        at = list(self.widths).index(layer)
        first = sum(list(self.widths.values())[:at])
        columns = slice(first, first + width)
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        mean, variance = self.norm.running_mean[columns], self.norm.running_var[columns]

        def logits(rows: torch.Tensor) -> torch.Tensor:
            x = z[rows.to(z.device)].to(mean.device).float()
            with torch.autocast(mean.device.type, enabled=False):
                scaled = (x - mean) * torch.rsqrt(variance + self.norm.eps)
                values: torch.Tensor = self.classifiers[at](scaled)
                return values

        return logits

    def optimizer_state(self) -> dict[str, object]:
        """The state of the optimizer, which resuming needs in addition to `state_dict`."""
        return self._optimizer.state_dict()

    def load_optimizer_state(self, state: dict[str, object]) -> None:
        """Restore an `optimizer_state`."""
        self._optimizer.load_state_dict(state)

    def _apply(self, fn: Callable[..., torch.Tensor], recurse: bool = True) -> LayerProbes:
        """Extends `to` and similar methods to the optimizer's moments."""
        super()._apply(fn, recurse)
        for state in self._optimizer.state.values():
            for name, value in state.items():
                if name != "step":  # stays on the CPU whatever the device of the weights
                    state[name] = fn(value)
        return self
