"""What this machine computes with, how fast it loads images, and what would help most."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path

from jessl.cli._command import JsonObject

# below so much free disk a training with its checkpoints and embeddings may not end
_LOW_DISK_GB = 5.0
_LOW_MEMORY_GIB = 2.0
# how many images and seconds measure the loader: the whole takes about a quarter of a minute
_IMAGES, _SECONDS = 32, 0.5
_MOST_ADVICE = 3
# a loader this many times as fast as the training steps is not what limits a training
_ENOUGH = 2.0
_GIB = 2**30


def describe_machine(folder: Path) -> JsonObject:
    """Versions, processor, memory, GPUs, and the disk of a folder."""
    import torch

    from jessl.core.processor import cpp_compiler, instruction_sets
    from jessl.core.resources import available_memory, usable_cores
    from jessl.records import versions

    memory = available_memory()
    gpus = []
    if torch.cuda.is_available():
        gpus = [torch.cuda.get_device_properties(k) for k in range(torch.cuda.device_count())]
    return {
        "versions": f"{versions()}, Python {platform.python_version()}",
        "system": f"{platform.system()} {platform.machine()}",
        "cores": usable_cores(),
        "torch_threads": torch.get_num_threads(),
        "instruction_sets": instruction_sets(),
        "memory_gib": None if memory is None else round(memory / _GIB, 1),
        "gpus": [{"name": g.name, "memory_gib": round(g.total_memory / _GIB, 1)} for g in gpus],
        "gpu_without_torch": not gpus and Path("/dev/nvidia0").exists(),
        "compiler": cpp_compiler(),
        "disk_free_gb": round(shutil.disk_usage(folder).free / 1e9, 1),
    }


def measure_loading(data: str) -> JsonObject:
    """How fast the images load, beside the steps of the encoder that `jessl pretrain` would take.

    Raises:
        ValueError: where the images cannot be opened.
    """
    from jessl.cli.bench import BenchCommand
    from jessl.core.devices import pick_device
    from jessl.data import open_source
    from jessl.pretraining.defaults import default_encoder, default_size

    device = pick_device("auto")
    source = open_source(data)
    size = default_size(source, device)
    encoder = default_encoder(size, device)
    bench = BenchCommand(
        subject="loader", data=data, size=size, encoder=encoder, images=_IMAGES, seconds=_SECONDS
    ).run()
    best = max(bench["loader"], key=lambda row: row["images_per_second"])
    needed = bench["needs"]
    return {
        "data": bench["data"],
        "images": bench["images"],
        "size": size,
        "encoder": encoder,
        "threads": best["threads"],
        "images_per_second": best["images_per_second"],
        "needed": needed,
        "epoch_seconds": bench["images"] / min(needed, best["images_per_second"]),
        "verdict": bench["verdict"],
    }


def machine_lines(machine: JsonObject) -> list[str]:
    """The machine for a person."""
    memory = machine["memory_gib"]
    gpus = [f"{g['name']}, {g['memory_gib']:.0f} GiB" for g in machine["gpus"]]
    compiles = "with a C++ compiler" if machine["compiler"] else "no C++ compiler"
    return [
        f"versions     {machine['versions']}, {machine['system']}",
        f"processor    {machine['cores']} cores, {machine['instruction_sets']}, {compiles}",
        f"memory       {'unknown' if memory is None else f'{memory:.1f} GiB'} available",
        f"GPU          {'; '.join(gpus) or 'none that torch can use'}",
        f"disk         {machine['disk_free_gb']:.1f} GB free",
    ]


def loading_lines(loading: JsonObject) -> list[str]:
    """The loader beside the training for a person."""
    s = "s" * (loading["threads"] > 1)
    return [
        f"loader       {loading['images_per_second']:,.0f} images/s with {loading['threads']} "
        f"thread{s}, two views of {loading['size']} px",
        f"training     {loading['needed']:,.0f} images/s by {loading['encoder']}: an epoch of "
        f"{loading['images']:,} images takes about {_duration(loading['epoch_seconds'])}",
    ]


def advise(machine: JsonObject, loading: JsonObject | None, checks: JsonObject) -> list[str]:
    """The most useful changes first, three at most, in sentences."""
    advice = []
    if checks["damaged"]:
        first = checks["damaged"][0]
        advice.append(
            f"{len(checks['damaged'])} damaged: make {first['path']} again, or "
            "resume its run, which goes on from the checkpoint before it"
        )
    if machine["gpu_without_torch"]:
        advice.append(
            "there is an NVIDIA GPU that torch cannot use: install a build of torch for its driver"
        )
    if machine["disk_free_gb"] < _LOW_DISK_GB:
        advice.append(
            f"{machine['disk_free_gb']:.1f} GB of disk are free: checkpoints of a large encoder "
            "may not fit; --keep-checkpoints 1 keeps one"
        )
    memory = machine["memory_gib"]
    if memory is not None and memory < _LOW_MEMORY_GIB:
        advice.append(
            f"{memory:.1f} GiB of memory are available: --micro-batch-size 32 trains in less, with "
            "the same result"
        )
    left = [item for item in checks["unfinished"] if not item["in_use"]]
    if left and checks["removed"] == []:
        size = sum(item["bytes"] for item in left) / 1e6
        advice.append(
            f"jessl doctor {checks['folder']} --clean removes {size:,.1f} MB that killed commands "
            "left"
        )
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdecimal() and int(threads) < machine["cores"] and not machine["gpus"]:
        advice.append(
            f"OMP_NUM_THREADS={threads} limits the training steps to {threads} of "
            f"{machine['cores']} cores: unset it for a single training"
        )
    if loading is not None:
        # on a CPU the loader shares the cores with the training steps
        if loading["images_per_second"] < _ENOUGH * loading["needed"]:
            # the first sentence says where the time of an image goes
            advice += [line for line in loading["verdict"][1:] if _asks_for_a_change(line)]
        if not machine["gpus"] and loading["epoch_seconds"] > 60:
            advice.append(
                "without a GPU smaller views train faster: --size "
                f"{max(16, loading['size'] // 2)} takes about a quarter of the time; a published "
                "encoder needs no training at all (jessl select --encoders)"
            )
    return advice[:_MOST_ADVICE]


def _asks_for_a_change(line: str) -> bool:
    return " would " in line or " waits " in line


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} minutes"
