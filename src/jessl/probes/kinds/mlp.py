"""The perceptron probe: a small network instead of a linear classifier.

The family is that of the probes and heads of Dubois et al. (NeurIPS 2022): hidden layers of
2,048 with batch norm and ReLU, then a linear layer to the classes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from jessl.core.validation import check_int
from jessl.probes.base import (
    Features,
    FitRequest,
    FittedProbe,
    Labels,
    Options,
    ProbeKind,
    check_positive,
)
from jessl.probes.standardize import HELD_BYTES, mean_and_scale, standardise

if TYPE_CHECKING:
    import torch

HIDDEN = "2048-2048"
# strong to weak; of AdamW: each step shrinks the weights by the current lr times this
PATH = (10.0, 1.0, 0.1)
LR = 1e-3
# rows of a step: at least this many (or all rows), less than twice as many
BATCH = 256
# steps of a fit, within these bounds on the passes over the rows
STEPS, LEAST_EPOCHS, MOST_EPOCHS = 2000, 10, 100
# numbers of a layer held at a time outside training: 64 MiB
_ENTRIES = 2**24


@dataclass(frozen=True, eq=False)
class PerceptronProbe:
    """A fitted probe, batch norm folded into the layers.

    Attributes:
        mean, scale: float64 [d] of the standardisation.
        layers: (weight [out, in], bias [out]) of each layer, float32, on the device.
        epochs: passes over the rows during training.
        converged: True: the training has a fixed number of steps and no tolerance to reach.
    """

    classes: Labels
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    layers: list[tuple[torch.Tensor, torch.Tensor]]
    epochs: int
    converged: bool = True
    probabilistic: bool = True
    counts_votes: ClassVar[bool] = False

    @property
    def details(self) -> Options:
        """The number of epochs."""
        return {"epochs": self.epochs}

    def decision_function(self, x: Features) -> NDArray[np.float32]:
        """[m, d] -> logits [m, classes], in chunks of 64 MiB of a layer."""
        import torch

        votes = np.empty((len(x), len(self.classes)), np.float32)
        widest = max(max(weight.shape) for weight, _ in self.layers)
        step = max(1, _ENTRIES // widest)
        device = self.layers[0][0].device
        with torch.no_grad():
            for start in range(0, len(x), step):
                z = standardise(x[start : start + step], self.mean, self.scale)
                votes[start : start + step] = _forward(
                    self.layers, torch.from_numpy(z).to(device)
                ).cpu()
        return votes


def candidates(options: Mapping[str, object]) -> list[Options]:
    """The path of weight decays, or the one that was set, with the other options.

    Raises:
        ValueError: for invalid hidden layers, or a number out of range.
    """
    epochs = options.get("epochs")
    others = {
        "hidden": "-".join(str(width) for width in widths_of(options.get("hidden", HIDDEN))),
        "lr": check_positive("lr", options.get("lr", LR)),
        "epochs": None if epochs is None else check_int("epochs", epochs, 1),
    }
    decay = options.get("weight_decay")
    if decay is None:
        return [{"weight_decay": one, **others} for one in PATH]
    if isinstance(decay, bool) or not (isinstance(decay, Real) and 0 <= float(decay) < np.inf):
        raise ValueError(f"weight_decay: expected a finite number of at least 0, got {decay}")
    return [{"weight_decay": float(decay), **others}]


def widths_of(hidden: object) -> list[int]:
    """The widths in "2048-2048": those of a head of an objective before its last layer.

    Raises:
        ValueError: for anything else, and for no hidden layer.
    """
    parts = str(hidden).split("-")
    if not all(part.isdecimal() and int(part) for part in parts):
        other = "; the probe without hidden layers is kind='logistic'"
        raise ValueError(
            f"hidden: expected widths such as 2048-2048 or 512, got {hidden!r}"
            + (other if hidden in ("linear", "identity", "", "0", 0) else "")
        )
    return [int(part) for part in parts]


def epochs_for(n: int) -> int:
    """The default number of passes over n rows: about 2,000 steps of 256 rows, 10 to 100 passes."""
    return min(MOST_EPOCHS, max(LEAST_EPOCHS, round(STEPS / _steps(n))))


def _steps(n: int) -> int:
    return max(1, n // BATCH)


def fit_path(request: FitRequest) -> Iterator[list[FittedProbe]]:
    """For each candidate the fits of all masks; standardised once, with all rows.

    AdamW on the cross-entropy, no decay of biases and norms; the learning rate falls to 0 along a
    cosine; no augmentation of features, no dropout. Every pass splits the rows at random into steps
    of 256 to 511 (or all rows where there are fewer); `epochs_for` gives the number of passes.
    Weights start as in He et al. (2015), biases at 0. After training, batch norm takes its mean and
    variance from all rows of the mask.

    Random draws depend only on the seed; on the CPU so does the result, for a given number of
    threads. Memory: the standardised features, on the device, up to 2 GiB; beyond that each step
    reads and standardises its rows. Time of a step of 256 rows on one core, d 512:
    .2 s with 2048-2048 (2,000 of them: seven minutes a fit, without a GPU), .01 s with 512.

    Raises:
        ValueError: when the loss is no longer finite.
    """
    import torch

    y = request.y
    rows = _DeviceRows(request.x, torch.device(request.device))
    for options in request.candidates:
        probes: list[FittedProbe] = []
        for mask in request.masks:
            members = np.flatnonzero(mask)
            classes, place = np.unique(y[members], return_inverse=True)
            layers, epochs = _train(rows, members, place, len(classes), options, request.seed)
            probes.append(PerceptronProbe(classes, rows.mean, rows.scale, layers, epochs))
        yield probes


class _DeviceRows:
    """Standardised rows on a device, read by index."""

    def __init__(self, x: Features, device: torch.device) -> None:
        import torch

        self.mean, self.scale = mean_and_scale(x)
        self.device, self.d = device, x.shape[1]
        self._x = x
        self._z: torch.Tensor | None = None
        if x.size * 4 <= HELD_BYTES:
            self._z = torch.from_numpy(standardise(x, self.mean, self.scale)).to(device)

    def take(self, which: NDArray[np.intp]) -> torch.Tensor:
        """float32 [len(which), d]."""
        import torch

        from jessl.core.devices import to_device

        if self._z is not None:
            return self._z[to_device(torch.from_numpy(which), self.device)]
        z = standardise(self._x[which], self.mean, self.scale)
        return to_device(torch.from_numpy(z), self.device)


def _train(
    rows: _DeviceRows,
    members: NDArray[np.intp],
    place: NDArray[np.intp],
    classes: int,
    options: Options,
    seed: int,
) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], int]:
    """The layers after training on the rows `members`, and the number of epochs."""
    import torch
    from torch.nn import functional

    from jessl.core.devices import to_device

    rng = np.random.default_rng([seed, 3])
    n, lr = len(members), options["lr"]
    net = _Network([rows.d, *widths_of(options["hidden"]), classes], rng, rows.device)
    optimizer = torch.optim.AdamW(
        [
            {"params": net.weights, "weight_decay": options["weight_decay"]},
            {"params": [*net.biases, *net.gains], "weight_decay": 0.0},
        ],
        lr=lr,
        fused=True,
    )
    target = torch.from_numpy(place).to(rows.device)
    epochs, steps = options["epochs"] or epochs_for(n), _steps(n)
    for epoch in range(epochs):
        losses = torch.zeros((), device=rows.device)
        for step, part in enumerate(np.array_split(rng.permutation(n), steps)):
            done = (epoch * steps + step) / (epochs * steps)
            for group in optimizer.param_groups:
                group["lr"] = 0.5 * lr * (1 + math.cos(math.pi * done))
            with torch.enable_grad():
                chosen = to_device(torch.from_numpy(part), rows.device)
                loss = functional.cross_entropy(net(rows.take(members[part])), target[chosen])
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
            losses += loss.detach()
        # once an epoch, as reading it waits for the GPU
        if not math.isfinite(losses.item()):
            raise ValueError(
                f"lr: the loss of the mlp probe is not finite in epoch {epoch + 1} of {epochs} "
                f"with lr {lr:g} and weight_decay {options['weight_decay']:g}; use smaller values"
            )
    return net.folded(rows, members), epochs


class _Network:
    """Linear, batch norm, ReLU; ...; linear: the head of an objective, without modules."""

    def __init__(self, widths: list[int], rng: np.random.Generator, device: torch.device) -> None:
        import torch

        def parameter(values: NDArray[np.floating]) -> torch.Tensor:
            return torch.from_numpy(values.astype(np.float32)).to(device).requires_grad_()

        self.weights = [
            parameter(rng.standard_normal((after, before), np.float32) * (2 / before) ** 0.5)
            for before, after in itertools.pairwise(widths)
        ]
        self.biases = [parameter(np.zeros(width)) for width in widths[1:]]
        self.gains = [parameter(np.ones(width)) for width in widths[1:-1]]

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        """[batch, d] -> logits [batch, classes], with the batch's statistics."""
        from torch.nn import functional

        for weight, gain, bias in zip(self.weights, self.gains, self.biases, strict=False):
            z = z @ weight.T
            # for a single row batch norm is the bias, as there is no spread to divide by
            z = functional.relu(
                functional.batch_norm(z, None, None, gain, bias, training=True)
                if len(z) > 1
                else bias.expand_as(z)
            )
        return functional.linear(z, self.weights[-1], self.biases[-1])

    def folded(
        self, rows: _DeviceRows, members: NDArray[np.intp]
    ) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """(weight, bias) of each layer, with the batch norm of the rows `members` folded in."""
        import torch

        layers: list[tuple[torch.Tensor, torch.Tensor]] = []
        step = max(1, _ENTRIES // max(rows.d, *(len(weight) for weight in self.weights)))
        parts = [members[start : start + step] for start in range(0, len(members), step)]
        with torch.no_grad():
            for weight, gain, bias in zip(self.weights, self.gains, self.biases, strict=False):
                total = torch.zeros(len(weight), dtype=torch.float64, device=rows.device)
                squares = torch.zeros_like(total)
                for part in parts:
                    h = (_forward(layers, rows.take(part), relu_last=True) @ weight.T).double()
                    total += h.sum(dim=0)
                    squares += (h**2).sum(dim=0)
                mean = total / len(members)
                variance = (squares / len(members) - mean**2).clamp_min(0)
                factor = gain / (variance + 1e-5).sqrt()
                layers.append(
                    (
                        (weight * factor[:, None]).float(),
                        (bias - mean * factor).float(),
                    )
                )
            layers.append((self.weights[-1].detach(), self.biases[-1].detach()))
        return layers


def _forward(
    layers: list[tuple[torch.Tensor, torch.Tensor]], z: torch.Tensor, *, relu_last: bool = False
) -> torch.Tensor:
    """Linear layers with ReLU between them, and with `relu_last` after the last."""
    from torch.nn import functional

    for k, (weight, bias) in enumerate(layers):
        z = functional.linear(z, weight, bias)
        if relu_last or k < len(layers) - 1:
            z = z.relu_()
    return z


KIND = ProbeKind(
    option_names=("hidden", "weight_decay", "lr", "epochs"),
    candidates=candidates,
    fit_path=fit_path,
    standardisation="mean and standard deviation of the training rows",
    # a fit takes minutes on a CPU, where the other kinds take seconds
    default_tuning="part",
    fallback_options={"weight_decay": 1.0},
)
