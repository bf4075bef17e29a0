"""RankMe of one layer of a model during its training: what the callbacks of all libraries share."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import nn

from jessl.core import collectives
from jessl.integrations.training_state import model_device, preserve_training_state
from jessl.schema import few_rows
from jessl.scores import Spectrum

# (model, batch) -> [batch, d]
Features = Callable[[Any, Any], torch.Tensor]

# attributes of parameters of which a process holds a part: DTensor (FSDP 2), FSDP 1, ZeRO 3
_SHARDED = ("device_mesh", "_fsdp_flattened", "_is_flat_param", "ds_id")


class Measure:
    """RankMe of one layer of a model on images that stay the same.

    Args:
        layer: dotted name of a submodule, and of the value: rankme/<layer>. With `features` a
            name for the value only.
        features: (model, batch) -> [batch, d], float32 or float64. None: the output of `layer`
            while the model runs once on the batch: with keywords where the batch is a mapping,
            on its first entry where it is a tuple or list.

    Raises:
        ValueError: for an empty layer.
    """

    def __init__(self, layer: str, features: Features | None) -> None:
        if not layer:
            raise ValueError("layer: expected the name of a submodule, got an empty one")
        self.layer, self.features = layer, features
        self.name = f"rankme/{layer}"
        self._warned: set[str] = set()

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

    def __call__(self, model: nn.Module, batches: Iterable[object]) -> float:
        """RankMe, as published, of the rows of all processes; each calls it with its own batches.

        A process may have no batches. Warns once when n < 4 d.

        Args:
            model: runs in evaluation mode, without autocast or TF32, on random numbers of its own
                (the same at each call); all is restored afterwards. With several processes, all
                use the buffers of the first meanwhile.
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
            with preserve_training_state(model):
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
        except Exception as error:  # raised below, once the other processes know and do not wait
            failed = error
        d = 0 if spectrum is None else spectrum.d
        own = torch.tensor(
            [rows, bad, d, int(d > 0), int(failed is not None)], device=model_device(model)
        )
        n, bad, widths, holders, failures = collectives.all_reduce_sum(own).tolist()
        if failures:
            raise failed or ValueError(f"{self.name}: {failures} other processes failed")
        if n == 0:
            raise ValueError("images: expected a fixed sample that can be read again, got no rows")
        if bad:
            self._warn("bad", f"{bad} of {n} rows hold NaN or infinite values: the value is NaN")
            return math.nan
        d = widths // holders
        if few_rows(n, d):
            self._warn("few", f"n = {n} rows are fewer than 4 d = {4 * d}: the value depends on n")
        return (spectrum or Spectrum(d)).all_reduce().rankme()

    def _features(self, model: nn.Module, batch: object) -> torch.Tensor:
        z: object = (
            self._layer_output(model, batch)
            if self.features is None
            else self.features(model, batch)
        )
        if not isinstance(z, torch.Tensor) or z.ndim != 2 or 0 in z.shape:
            got = tuple(z.shape) if isinstance(z, torch.Tensor) else type(z).__name__
            raise ValueError(
                f"{self.name}: expected features of shape [batch, d], got {got}; "
                "pool maps and tokens in features=, a function (model, batch) -> [batch, d]"
            )
        if z.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"{self.name}: expected float32 features, got {z.dtype}, with which RankMe is up "
                "to 13 % off; keep the weights in float32 (bf16-mixed does)"
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

    def _layer_output(self, model: nn.Module, batch: object) -> object:
        outputs: list[object] = []
        layer = self._module(model)
        hook = layer.register_forward_hook(lambda _module, _args, out: outputs.append(out))
        try:
            if isinstance(batch, Mapping):
                model(**batch)
            else:
                model(batch[0] if isinstance(batch, tuple | list) else batch)
        finally:
            hook.remove()
        if len(outputs) != 1:
            raise ValueError(
                f"layer: {self.layer!r} ran {len(outputs)} times, not once, in forward; "
                "give features=, a function (model, batch) -> [batch, d]"
            )
        return outputs[0]

    def _warn(self, what: str, text: str) -> None:
        if what not in self._warned and collectives.rank() == 0:
            warnings.warn(f"{self.name}: {text}", UserWarning, stacklevel=3)
        self._warned.add(what)
