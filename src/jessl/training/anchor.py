"""A pull of weights towards those that a training began with."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn


class Anchor:
    """Moves the weights of a module a share of the way back to their start after every step.

    w <- w - min(1, rate strength) (w - start), beside the optimizer as AdamW's weight decay is, so
    that it acts alike with every optimizer. It is weight decay towards the start instead of
    towards 0 (L2-SP; Li, Grandvalet, Davoine, ICML 2018, arXiv 1802.01483, who add it to the loss).

    Example:
        anchor = Anchor(encoder, dict(encoder.named_parameters()), strength=100.0)
        anchor.pull(rate=1e-3)  # a tenth of the way back

    Args:
        module: what is trained.
        start: its parameters at the start, by name; they are copied to the module's device.
        strength: > 0, in units of one over the learning rate.

    Raises:
        ValueError: for a start that lacks a parameter, or has it in another shape.
    """

    def __init__(
        self, module: nn.Module, start: Mapping[str, torch.Tensor], strength: float
    ) -> None:
        self._strength = strength
        self._pairs: list[tuple[nn.Parameter, torch.Tensor]] = []
        for name, p in module.named_parameters():
            if name not in start or start[name].shape != p.shape:
                raise ValueError(f"anchor: the weights at the start do not hold {name} as it is")
            if p.requires_grad:
                self._pairs.append((p, start[name].detach().to(p, copy=True)))

    @torch.no_grad()
    def pull(self, rate: float) -> None:
        """Move the weights rate * strength of the way, at most all of it."""
        share = min(1.0, rate * self._strength)
        for p, start in self._pairs:
            p.lerp_(start, share)
