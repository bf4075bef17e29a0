"""Optimizers: torch's AdamW and SGD, and LARS; weight decay only where it belongs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from jessl.core.validation import check_choice
from jessl.encoders.depth import parameter_depths
from jessl.encoders.encoder import Encoder

if TYPE_CHECKING:
    from torch.optim.optimizer import ParamsT


# name -> (base learning rate for a batch of 256, weight decay)
DEFAULTS = {"adamw": (1e-3, 1e-2), "sgd": (0.06, 5e-4), "lars": (1.0, 1e-6)}


class LARS(torch.optim.Optimizer):
    """SGD with momentum whose step is scaled, tensor by tensor, to the size of the weights.

    You, Gitman, Ginsburg, Large Batch Training of Convolutional Networks, 2017, equation 6:
    d = eta |p| / (|g| + wd |p|) (g + wd p); m = momentum m + d; p = p - lr m (the learning rate
    outside the momentum, as in torch's SGD). Groups with adapt=False (biases and norm layers)
    take the plain gradient; solo-learn and stable-pretraining scale those as well when their
    weight decay is 0.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        *,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        eta: float = 1e-3,
    ) -> None:
        """
        Args:
            params: parameters or groups; a group may say adapt=False.
            lr: learning rate, >= 0.
            momentum: in [0, 1).
            weight_decay: >= 0.
            eta: trust coefficient, > 0.
        """
        if lr < 0 or weight_decay < 0 or not 0 <= momentum < 1 or eta <= 0:
            raise ValueError(
                "lars needs lr >= 0, weight_decay >= 0, momentum in [0, 1) and eta > 0, got "
                f"{lr}, {weight_decay}, {momentum}, {eta}"
            )
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "weight_decay": weight_decay,
                "eta": eta,
                "adapt": True,
            },
        )

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One update of all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                d = p.grad.add(p, alpha=group["weight_decay"])
                if group["adapt"]:
                    p_norm, g_norm = p.norm(), p.grad.norm()
                    ratio = group["eta"] * p_norm / (g_norm + group["weight_decay"] * p_norm)
                    d = d * torch.where((p_norm > 0) & (g_norm > 0), ratio, 1.0)
                state = self.state[p]
                if "momentum_buffer" not in state:
                    state["momentum_buffer"] = torch.zeros_like(p)
                m = state["momentum_buffer"]
                m.mul_(group["momentum"]).add_(d)
                p.sub_(m, alpha=group["lr"])
        return loss


def build_optimizer(
    name: str,
    modules: Iterable[nn.Module],
    *,
    lr: float,
    weight_decay: float,
    layer_decay: float | None = None,
    fused: bool = False,
) -> torch.optim.Optimizer:
    """The optimizer `name` over the trainable parameters of modules.

    Tensors of one dimension (biases, norm layers) get neither weight decay nor LARS's scaling.

    With `layer_decay`, each depth of an encoder is a group of its own with "lr_scale": block k of K
    has layer_decay^(K - k), the first one k = 0, and all that is no encoder 1. `set_learning_rate`
    multiplies by it.

    Args:
        name: "adamw", "sgd" (momentum .9) or "lars" (momentum .9, eta .001).
        modules: what is trained.
        lr, weight_decay: >= 0.
        layer_decay: in (0, 1]; None: one rate for all.
        fused: update all parameters by one kernel; not for "lars".
    """
    check_choice("optimizer", name, DEFAULTS)
    groups: list[dict[str, Any]] = []
    for scale, params in _by_scale(list(modules), layer_decay).items():
        own = {} if layer_decay is None else {"lr_scale": scale, "lr": lr * scale}
        plain = [p for p in params if p.ndim <= 1]
        if len(plain) < len(params) or layer_decay is None:
            decayed = [p for p in params if p.ndim > 1]
            groups.append({"params": decayed, "weight_decay": weight_decay, **own})
        if plain:
            adapt = {"adapt": False} if name == "lars" else {}
            groups.append({"params": plain, "weight_decay": 0.0, **own, **adapt})
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr, fused=fused or None)
    if name == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=0.9, fused=fused or None)
    return LARS(groups, lr=lr)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the rate of all groups: `lr` times their "lr_scale", where they have one."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("lr_scale", 1.0)


def learning_rate(optimizer: torch.optim.Optimizer) -> float:
    """The rate that `set_learning_rate` set."""
    top = max(optimizer.param_groups, key=lambda group: group.get("lr_scale", 1.0))
    rate: float = top["lr"] / top.get("lr_scale", 1.0)
    return rate


def _by_scale(
    modules: list[nn.Module], layer_decay: float | None
) -> dict[float, list[nn.Parameter]]:
    """Trainable parameters by the factor of their rate, in the order of the modules."""
    groups: dict[float, list[nn.Parameter]] = {}
    for module in modules:
        depths: dict[str, int] = {}
        if layer_decay is not None and isinstance(module, Encoder):
            depths = parameter_depths(module)
        blocks = max(depths.values(), default=-1) + 1
        for name, p in module.named_parameters():
            if p.requires_grad:
                scale = (layer_decay or 1.0) ** (blocks - depths.get(name, blocks))
                groups.setdefault(scale, []).append(p)
    return groups
