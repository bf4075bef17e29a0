"""Signs that a training goes wrong: collapse, and losses that are not finite."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

# below these a representation is collapsed: all images are nearly one point, or on one line
LEAST_SPREAD = 0.02
LEAST_RANKME = 1.5

_TRY = (
    "try a lower --lr, a longer --warmup-epochs, a larger --batch-size, or an objective whose loss "
    "prevents it (vicreg, simclr)"
)


@torch.no_grad()
def spread(z: torch.Tensor) -> float:
    """Standard deviation of the L2-normalised rows of z [n, d], mean over d, times sqrt(d).

    1 where the directions are isotropic, 0 where all rows point one way; NaN for one row.
    """
    if len(z) < 2:
        return math.nan
    return F.normalize(z.float(), dim=1).std(dim=0).mean().item() * z.shape[1] ** 0.5


def detect_collapse(spreads: dict[str, float], ranks: dict[str, float]) -> str | None:
    """One line when a layer has collapsed, None when none has.

    Args:
        spreads: `spread` by layer.
        ranks: RankMe by layer, in 1..d.
    """
    for layer, value in spreads.items():
        if value < LEAST_SPREAD:
            return (
                f"collapse: all images have one direction at the {layer} (spread {value:.1g}, "
                f"where 1 is isotropic); {_TRY}"
            )
    for layer, value in ranks.items():
        if value < LEAST_RANKME:
            return f"collapse: RankMe is {value:.2f} at the {layer}, all images on a line; {_TRY}"
    return None


def explain_divergence(loss: float, parts: dict[str, float], *, step: int, lr: float) -> str | None:
    """One line when the loss is not finite, naming the parts that are not; None when it is."""
    if math.isfinite(loss):
        return None
    parts_named = ", ".join(name for name, value in parts.items() if not math.isfinite(value))
    where = f" (its parts {parts_named})" if parts_named else ""
    return (
        f"the loss is {loss}{where} at step {step}: lower the learning rate (now {lr:g}), take "
        "--clip-norm 1 or --precision float32, or look at the data"
    )
