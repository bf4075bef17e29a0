"""A CUDA device without a GPU: tensors that claim to be on it and are computed by the CPU.

Within `rehearsal()` torch sees one GPU. A tensor on it is a wrapper around a CPU tensor, so values,
gradients and dtypes are real, and every operation passes through here, where it is refused for
what a GPU would refuse or wait for:

- tensors of both devices in one operation;
- anything that makes the host wait for the device (item, bool, cpu, nonzero, a copy from memory
  that is not page-locked) outside the places in `MEANT`, each of which has its reason;
- sums, means and exponentials of a loss in half precision, convolutions in float32 under autocast;
- page-locked memory that is written again before the copy from it has ended.

torch's own FakeTensorMode has no values: probes, scores and loaders, which go back and forth
between device and host, could not run to their end in it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter, tree_map

import jessl
from helpers.rehearsed_backward import backward
from helpers.rehearsed_transfers import MEANT

SRC = str(Path(jessl.__file__).parent) + "/"
CUDA = torch.device("cuda", 0)
_HALF = (torch.float16, torch.bfloat16)
_aten = torch.ops.aten

# these read the result's size from the device, and the host waits for it
_WAITING = {
    "_local_scalar_dense", "nonzero", "masked_select", "unique2", "_unique2", "unique_dim", "equal",
    "is_nonzero", "unique_consecutive", "bincount", "repeat_interleave", "linalg_eigh",
    "_linalg_eigh", "_linalg_svd", "linalg_svd", "allclose",
}  # fmt: skip
# in a loss these lose digits in half precision
_EXACT = {
    "mean", "var", "std", "sum", "exp", "log", "sqrt", "rsqrt", "div", "pow", "logsumexp",
    "_log_softmax", "_softmax", "linalg_vector_norm", "square", "cos", "sin",
}  # fmt: skip
_RANDOM = {"rand", "randn", "randint", "native_dropout", "bernoulli", "bernoulli_", "normal_",
           "uniform_", "randperm", "rand_like", "randn_like", "random_", "multinomial"}  # fmt: skip


class DeviceMistake(AssertionError):
    """What would fail, stall or lose digits on a GPU."""


class OnDevice(torch.Tensor):
    """A tensor on the rehearsed device; `held` is the CPU tensor behind it."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnDevice:
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=CUDA,
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise AssertionError("the rehearsal is over, and its tensors are still used")

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.__reduce_ex__(protocol)  # torch.save, and load with map_location="cpu"


class _Memory:
    """Page-locked memory, and copies from it that have not ended."""

    def __init__(self) -> None:
        self.blocks: list[torch.Tensor] = []
        self.flying: list[tuple[torch.Tensor, torch.Tensor]] = []

    def lock(self, block: torch.Tensor) -> torch.Tensor:
        # a block is held to the end, so that its address stays its own
        self.blocks.append(block.detach())
        return block

    def alias(self, x: torch.Tensor) -> torch.Tensor | None:
        """The bytes of x in a block, which do not keep x alive; None where x is not locked."""
        for block in self.blocks:
            raw = block.untyped_storage()
            first = x.data_ptr() - raw.data_ptr()
            if 0 <= first < max(1, raw.nbytes()):
                flat = torch.empty(0, dtype=torch.uint8).set_(raw)
                last = x.untyped_storage().nbytes() - x.storage_offset() * x.element_size()
                return flat[first : first + min(last, raw.nbytes() - first)]
        return None

    def take_off(self, block: torch.Tensor) -> None:
        self.flying.append((block, block.clone()))

    def land(self, what: str = "the copy ended") -> None:
        flying, self.flying = self.flying, []
        for block, before in flying:
            if not torch.equal(block, before):
                raise DeviceMistake(f"page-locked memory was written before {what}")


class _Event:
    """Done at its second query, or once waited for."""

    def __init__(self, memory: _Memory) -> None:
        self._memory, self._flying = memory, list(memory.flying)
        self._queries = 0

    def query(self) -> bool:
        self._queries += 1
        if self._queries > 2:
            self.synchronize()
        return self._queries > 2

    def synchronize(self) -> None:
        ours = {id(block) for block, _ in self._flying}
        others = [f for f in self._memory.flying if id(f[0]) not in ours]
        self._memory.flying = [f for f in self._memory.flying if id(f[0]) in ours]
        self._memory.land()
        self._memory.flying = others


class Rehearsal(TorchDispatchMode):
    """The mode that computes and judges; `forgive` lists places in addition to MEANT."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = _Memory()
        self.rng = torch.Generator().manual_seed(5).get_state()
        self.convolutions: set[torch.dtype] = set()
        self.operations = 0
        # places of MEANT that were used
        self.used: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = func.overloadpacket.__name__ if hasattr(func, "overloadpacket") else str(func)
        tensors = [x for x in tree_iter((args, kwargs)) if isinstance(x, torch.Tensor)]
        ours = [x for x in tensors if isinstance(x, OnDevice)]
        wanted = kwargs.get("device")
        on_device = bool(ours) if wanted is None else torch.device(wanted).type == "cuda"
        if on_device or ours:
            self.operations += 1
            self._judge(name, args, kwargs, tensors, ours, on_device)
        held = tree_map(lambda x: x.held if isinstance(x, OnDevice) else x, (args, kwargs))
        if wanted is not None:
            held[1]["device"] = torch.device("cpu")
        pinned = held[1].pop("pin_memory", False)
        if on_device and name in _RANDOM:
            with self._device_rng():
                out = func(*held[0], **held[1])
        else:
            out = func(*held[0], **held[1])
        if pinned:
            self.memory.lock(out)
        if not on_device:
            return out
        known = {id(x.held): x for x in ours}

        def wrap(x: Any) -> Any:
            if not isinstance(x, torch.Tensor):
                return x
            return known[id(x)] if id(x) in known else OnDevice(x)

        return tree_map(wrap, out)

    def _judge(
        self, name: str, args: Any, kwargs: Any, tensors: Any, ours: Any, on_device: bool
    ) -> None:
        away = [x for x in tensors if not isinstance(x, OnDevice)]
        if name in ("_to_copy", "copy_"):
            self._judge_copy(name, args, kwargs, on_device)
            return
        if name.startswith(("index", "_index")) and name not in (
            "index_select", "index_copy", "index_copy_", "index_add", "index_add_",
        ):  # fmt: skip
            indices = [x for x in args[1] if x is not None]
            if any(x.dtype == torch.bool for x in indices):
                self._wait("indexing by a mask")
            if any(not isinstance(x, OnDevice) for x in indices):
                self._wait("indexing by numbers of the host")
            away = [x for x in away if not any(x is i for i in indices)]
        if any(x.dim() or name in ("cat", "stack") for x in away):
            shapes = [(str(x.device), tuple(x.shape)) for x in tensors]
            raise DeviceMistake(f"{name} of tensors on two devices, {shapes}, at {self._place()}")
        if name in _WAITING:
            self._wait(name)
        if name == "convolution":
            self.convolutions.add(args[0].dtype)
            if torch.is_autocast_enabled("cuda") and args[0].dtype not in _HALF:
                raise DeviceMistake(f"a {args[0].dtype} convolution under autocast")
        if name in _EXACT and any(x.dtype in _HALF for x in ours):
            place = self._place()
            if place.startswith("objectives/"):
                raise DeviceMistake(f"{name} in half precision at {place}")

    def _judge_copy(self, name: str, args: Any, kwargs: Any, on_device: bool) -> None:
        source = args[1] if name == "copy_" else args[0]
        to_device = isinstance(args[0], OnDevice) if name == "copy_" else on_device
        if isinstance(source, OnDevice):
            if not to_device:
                self._wait("a copy to the host")
            return
        block = self.memory.alias(source)
        nonblocking = kwargs.get("non_blocking", False) or (name == "copy_" and len(args) > 2)
        if block is None or not nonblocking:
            why = "that is not page-locked" if block is None else "without non_blocking"
            self._wait(f"a copy of {tuple(source.shape)} from memory {why}")
        else:
            self.memory.take_off(block)

    def _wait(self, what: str) -> None:
        """The host waits for the device: refused unless the place means it."""
        place = self._place()
        # without a frame of ours a test does it
        if place and place not in MEANT:
            raise DeviceMistake(f"the host waits for the device: {what}, at {place}")
        self.used.add(place)
        self.memory.land()

    def _place(self) -> str:
        """FILE:FUNCTION of the innermost frame of the package."""
        frame = sys._getframe(1)
        while frame is not None:
            code = frame.f_code
            if code.co_filename.startswith(SRC):
                return f"{code.co_filename.removeprefix(SRC)}:{code.co_qualname}"
            frame = frame.f_back  # type: ignore[assignment]
        return ""

    @contextmanager
    def _device_rng(self) -> Iterator[None]:
        """Draw from the device's generator, which is another one than the host's."""
        before = torch.default_generator.get_state()
        torch.default_generator.set_state(self.rng)
        try:
            yield
        finally:
            self.rng = torch.default_generator.get_state()
            torch.default_generator.set_state(before)

    def synchronize(self, *_: object) -> None:
        self._wait("torch.cuda.synchronize")


@contextmanager
def rehearsal() -> Iterator[Rehearsal]:
    """A GPU to rehearse on, for the block; see the module.

    Example:
        with rehearsal():
            trainer.take_step(views)  # of tensors with device="cuda"
    """
    mode = Rehearsal()

    def set_rng(state: torch.Tensor, *_: object) -> None:
        mode.rng = state.clone()

    def pin(x: torch.Tensor, *_: object) -> torch.Tensor:
        return mode.memory.lock(x.clone())

    stream = SimpleNamespace(
        record_event=lambda *_: _Event(mode.memory), synchronize=mode.synchronize
    )
    properties = SimpleNamespace(total_memory=2**36, name="rehearsed", major=9, minor=0)
    cuda = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "is_bf16_supported": lambda *_, **__: True,
        "synchronize": mode.synchronize,
        "current_stream": lambda *_: stream,
        "get_rng_state": lambda *_: mode.rng.clone(),
        "set_rng_state": set_rng,
        "manual_seed_all": lambda seed: set_rng(torch.Generator().manual_seed(seed).get_state()),
        "get_device_properties": lambda *_: properties,
        "get_device_name": lambda *_: properties.name,
        "get_device_capability": lambda *_: (9, 0),
    }
    swaps = torch.__future__.get_swap_module_params_on_conversion()
    lifts = torch._C._only_lift_cpu_tensors()
    with ExitStack() as stack:
        for name, value in cuda.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, value))
        for name, value in {
            "pin_memory": pin,
            "is_pinned": lambda x, *_: mode.memory.alias(x) is not None,
            "backward": backward,
        }.items():
            stack.enter_context(mock.patch.object(torch.Tensor, name, value))
        stack.enter_context(mock.patch.object(torch.nn.Module, "to", _to))
        torch._C._ensureCUDADeviceGuardSet()
        torch._C._set_only_lift_cpu_tensors(True)
        torch.__future__.set_swap_module_params_on_conversion(True)
        stack.callback(torch._C._set_only_lift_cpu_tensors, lifts)
        stack.callback(torch.__future__.set_swap_module_params_on_conversion, swaps)
        stack.callback(_forget_constants)
        _forget_constants()
        # inference tensors have no version counter, which wrappers need
        stack.enter_context(mock.patch.object(torch.inference_mode, "__enter__", _enter_no_grad))
        stack.enter_context(mock.patch.object(torch.inference_mode, "__exit__", _leave_no_grad))
        # its batch norm exists for GPUs only
        stack.enter_context(torch.backends.cudnn.flags(enabled=False))
        stack.enter_context(mode)
        yield mode
    mode.memory.land("the rehearsal ended")


def _enter_no_grad(self: Any) -> None:
    self.rehearsed = torch.no_grad()
    self.rehearsed.__enter__()


def _leave_no_grad(self: Any, *error: object) -> None:
    self.rehearsed.__exit__(*error)


_module_to = torch.nn.Module.to


def _to(module: torch.nn.Module, *args: Any, **kwargs: Any) -> torch.nn.Module:
    """Module.to, which leaves alone what is there already."""
    device, dtype, _, memory_format = torch._C._nn._parse_to(*args, **kwargs)
    there = device is None or all(
        x.device.type == device.type for x in [*module.parameters(), *module.buffers()]
    )
    if dtype is None and memory_format is None and there:
        return module
    return _module_to(module, *args, **kwargs)


def _forget_constants() -> None:
    """Empty the package's caches of constants by device."""
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").startswith("jessl.views.gpu"):
            for value in vars(module).values():
                if hasattr(value, "cache_clear"):
                    value.cache_clear()
