"""RankMe for those who train with other libraries: `torchmetrics`, `lightning`, `huggingface`.

Each file is named after the library it needs, and imports it; this one imports none of them
(`pip install 'jessl[integrations]'` brings all three). Here is what the two callbacks share.
"""

from __future__ import annotations

import math
import random
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import distributed, nn

from jessl.core import collectives
from jessl.core.precision import full_float32
from jessl.schema import few_rows
from jessl.scores import Spectrum

Features = Callable[[Any, Any], torch.Tensor]

# attributes of parameters of which a process holds a part: DTensor (FSDP 2), FSDP 1, ZeRO 3
_SHARDED = ("device_mesh", "_fsdp_flattened", "_is_flat_param", "ds_id")


class Measure:
    """RankMe of one layer of a model on images that stay the same.

    Args:
        layer: dotted name of a submodule, and of the value: rankme/<layer>. With `features` a
            name for the value only.
        features: (model, batch) -> [batch, d], float32 or float64. None: what `layer` puts out,
            once, while the model runs on the batch: as keywords where it is a mapping, on its
            first entry where it is a tuple or list.

    Raises:
        ValueError: for an empty layer.
    """

    def __init__(self, layer: str, features: Features | None) -> None:
        if not layer:
            raise ValueError("layer: needs the name of a submodule, got an empty one")
        self.layer, self.features = layer, features
        self.name = f"rankme/{layer}"
        self._told: set[str] = set()

    def check(self, model: nn.Module) -> None:
        """Refuse, before a training starts, what could not be measured after its first epochs.

        Raises:
            ValueError: when the model has no such layer, or its parameters are sharded.
        """
        marks = (mark for p in model.parameters() for mark in _SHARDED if hasattr(p, mark))
        if next(marks, None) is not None:
            raise ValueError(
                "model: its parameters are sharded over processes (FSDP, DeepSpeed ZeRO 3); "
                "the callback knows one device and DDP"
            )
        if self.features is None:
            self._module(model)

    def __call__(self, model: nn.Module, batches: Iterable[Any]) -> float:
        """RankMe, as published, of the rows of all processes; each calls it with its own batches.

        A process may have no batches. Warns once when n < 4 d.

        Args:
            model: runs in evaluation mode, without autocast or TF32, on random numbers of its own
                (the same at each call); all is put back afterwards. Where there are several
                processes their buffers are those of the first for as long.
            batches: on the model's device.

        Returns:
            The same on every process; NaN, with a warning, where features are NaN or infinite.

        Raises:
            ValueError: for features of another shape or of half precision, or no rows at all.
        """
        self.check(model)
        spectrum: Spectrum | None = None
        rows = bad = 0
        failed: Exception | None = None
        try:
            with undisturbed(model):
                for batch in batches:
                    # around the model only: tensors that a data set keeps must not be inference's
                    with torch.inference_mode():
                        z = self._features(model, batch)
                        finite = z.isfinite().all(dim=1)
                        if spectrum is None:
                            spectrum = Spectrum(z.shape[1])
                        if finite.any():
                            spectrum.update(z[finite])
                    rows += len(z)
                    bad += len(z) - int(finite.sum())
        except Exception as error:  # raised below, when the others know of it and do not wait
            failed = error
        d = 0 if spectrum is None else spectrum.d
        mine = torch.tensor(
            [rows, bad, d, int(d > 0), int(failed is not None)], device=_device(model)
        )
        n, bad, widths, holders, failures = collectives.all_reduce_sum(mine).tolist()
        if failures:
            raise failed or ValueError(f"{self.name}: {failures} other processes failed")
        if n == 0:
            raise ValueError("images: not one row came; a fixed sample that can be read again")
        if bad:
            self._warn("bad", f"{bad} of {n} rows hold NaN or infinite values: the value is NaN")
            return math.nan
        d = widths // holders
        if few_rows(n, d):
            self._warn("few", f"n = {n} rows are fewer than 4 d = {4 * d}: the value depends on n")
        return (spectrum or Spectrum(d)).all_reduce().rankme()

    def _features(self, model: nn.Module, batch: Any) -> torch.Tensor:
        z = self._tapped(model, batch) if self.features is None else self.features(model, batch)
        if not isinstance(z, torch.Tensor) or z.ndim != 2 or 0 in z.shape:
            got = tuple(z.shape) if isinstance(z, torch.Tensor) else type(z).__name__
            raise ValueError(
                f"{self.name}: needs features of shape [batch, d], got {got}; "
                "pool maps and tokens in features=, a function (model, batch) -> [batch, d]"
            )
        if z.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"{self.name}: needs float32 features, got {z.dtype}, with which RankMe is up to "
                "13 % off; keep the weights in float32 (bf16-mixed does)"
            )
        return z

    def _module(self, model: nn.Module) -> nn.Module:
        try:
            return model.get_submodule(self.layer)
        except AttributeError:
            names = ", ".join(name for name, _ in model.named_children())
            raise ValueError(
                f"layer: {type(model).__name__} has no submodule {self.layer!r}; it has {names}"
            ) from None

    def _tapped(self, model: nn.Module, batch: Any) -> Any:
        seen: list[Any] = []
        tap = self._module(model).register_forward_hook(lambda m, args, out: seen.append(out))
        try:
            if isinstance(batch, Mapping):
                model(**batch)
            else:
                model(batch[0] if isinstance(batch, tuple | list) else batch)
        finally:
            tap.remove()
        if len(seen) != 1:
            raise ValueError(
                f"layer: {self.layer!r} ran {len(seen)} times, not once, in forward; "
                "give features=, a function (model, batch) -> [batch, d]"
            )
        return seen[0]

    def _warn(self, what: str, text: str) -> None:
        if what not in self._told and collectives.rank() == 0:
            warnings.warn(f"{self.name}: {text}", UserWarning, stacklevel=3)
        self._told.add(what)


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Measure a model in the middle of its training so that the training does not notice."""
    device = _device(model)
    with ExitStack() as stack:
        for part in (_evaluating, _buffers_of_the_first, _own_forward):
            stack.enter_context(part(model))
        stack.enter_context(_own_random_numbers(device))
        stack.enter_context(full_float32())
        for kind in {"cpu", device.type}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


def _device(model: nn.Module) -> torch.device:
    tensor = next(model.parameters(), None)
    return torch.device("cpu") if tensor is None else tensor.device


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    # the flags alone: some modules do more in train() and eval(), such as merging weights
    were = [(m, m.training) for m in model.modules()]
    for m, _ in were:
        m.training = False
    try:
        yield
    finally:
        for m, was in were:
            m.training = was


@contextmanager
def _buffers_of_the_first(model: nn.Module) -> Iterator[None]:
    """Running statistics differ between the processes of DDP: one set of weights for all rows."""
    if collectives.world() == 1:
        yield
        return
    kept = [(b, b.detach().clone()) for b in model.buffers()]
    with torch.no_grad():
        for b, _ in kept:
            first = b.detach().clone(memory_format=torch.contiguous_format)
            distributed.broadcast(first, 0)
            b.copy_(first)
    try:
        yield
    finally:
        with torch.no_grad():
            for b, before in kept:
                b.copy_(before)


@contextmanager
def _own_forward(model: nn.Module) -> Iterator[None]:
    """accelerate puts an autocast into the model's forward, and keeps the original beside it."""
    patched, original = (vars(model).get(name) for name in ("forward", "_original_forward"))
    if patched is None or original is None:
        yield
        return
    model.forward = original
    try:
        yield
    finally:
        model.forward = patched


@contextmanager
def _own_random_numbers(device: torch.device) -> Iterator[None]:
    """A loader draws a number for its workers even where nothing else is random."""
    cuda = device.type == "cuda"
    own, numpys, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state(device) if cuda else None
    random.seed(0)
    np.random.seed(0)
    torch.default_generator.manual_seed(0)
    if cuda:
        torch.cuda.default_generators[device.index or 0].manual_seed(0)
    try:
        yield
    finally:
        random.setstate(own)
        np.random.set_state(numpys)
        torch.set_rng_state(torchs)
        if on_gpu is not None:
            torch.cuda.set_rng_state(on_gpu, device)
