"""What a processor computes in, and whether this machine can compile."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import torch

# instructions that multiply bfloat16; without them torch emulates it, slower than float32
_BFLOAT16 = ("amx_bf16", "avx512_bf16")
_REPORTED = ("avx2", "avx512f", *_BFLOAT16)


def cpu_flags() -> frozenset[str]:
    """Instruction sets of the processor as Linux names them; empty where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return frozenset()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return frozenset(flags.partition(":")[2].split())


def instruction_sets() -> str:
    """Those of `cpu_flags` that decide how fast a network computes, such as "avx2, avx512f"."""
    flags = cpu_flags()
    return ", ".join(name for name in _REPORTED if name in flags) or "unknown"


def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies bfloat16 itself: GPUs since Ampere, CPUs with AMX or AVX-512.

    Read from the flags of the processor; nothing is tried.

    Example:
        >>> computes_bfloat16(torch.device("cpu"))
        False
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return device.type == "cpu" and not cpu_flags().isdisjoint(_BFLOAT16)


def cpp_compiler() -> str | None:
    """The C++ compiler that torch.compile would call; None where there is none."""
    names = (os.environ.get("CXX"), "g++", "clang++", "c++", "cl")
    return next((path for name in names if name and (path := shutil.which(name))), None)


def can_compile(device: torch.device) -> bool:
    """Whether torch.compile has what it needs: a C++ compiler, and Triton for a GPU."""
    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return False
    return cpp_compiler() is not None
