"""The views of a GPU: equal to the CPU's, how fast, and what a training would wait for.

    python benchmarks/bench_gpu.py --data PHOTOS --record records/DATE-gpu.md

One call checks, measures and writes. `--device cpu --quick` tries the script without a GPU.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness import installed, say, write_record
from jessl import Loader, build_encoder
from jessl.core.resources import usable_cores
from jessl.objectives import build_objective
from jessl.training.throughput import measure_training
from jessl.views import Views, presets

_PLAIN = ((0.0,) * 3, (1.0,) * 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of JPEG files, or tar shards")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--encoder", default="torchvision:resnet50")
    parser.add_argument("--side", type=int, default=224, help="pixels of large views")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the loader, each time")
    parser.add_argument("--quick", action="store_true", help="small numbers, to try the script")
    parser.add_argument("--json", help="file for the numbers")
    parser.add_argument("--record", help="Markdown file")
    args = parser.parse_args()
    if args.quick:
        args.batch_size, args.rounds, args.seconds, args.encoder = 8, 2, 0.5, "smallconv"
    device = torch.device(args.device)
    found: dict[str, Any] = {"device": _named(device)}
    body = [f"Device: {found['device']}; {usable_cores()} cores. Batches of {args.batch_size}."]
    for title, part in (
        ("Device views next to the CPU's (levels of 255)", equality),
        ("Two SimCLR views of a batch on the device: images a second", rates),
        ("A step, and what its views cost", step),
        ("End to end: files to views on the device", end_to_end),
    ):
        say(title)
        rows = part(args, device)
        found[title] = rows
        body += ["", f"## {title}", "", *_table(rows)]
    print("\n".join(body))
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1))
    if args.record:
        names = ("torch", "torchvision", "numba", "simplejpeg", "kornia")
        write_record(args.record, "Views on a GPU", installed(names), body)


def equality(args: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Largest and mean difference for the same parameters, images on the device and crops."""
    rng = np.random.default_rng(0)
    rows = []
    small = ("simclr", 32)
    for name, size in (
        (("simclr", 224), ("byol", 224), ("dino", 224), small) if args.side > 32 else (small,)
    ):
        side = size + 60
        smooth = rng.integers(0, 256, (16, side // 8, side // 8, 3), dtype=np.uint8)
        images = smooth.repeat(8, axis=1).repeat(8, axis=2)
        views: Views = presets.preset(name, size).normalised(*_PLAIN)
        sizes = np.full(16, images.shape[1])
        params = views.sample(np.arange(16), 0, 0, sizes, sizes)
        want = views.apply(images, params)
        table = np.stack([_table_of(views, p) for p in params])
        on_device = views.apply_on_device(torch.from_numpy(images).to(device), table)
        renderer = views.renderer(crops_only=True)
        crops = [np.zeros((16, *shape), np.uint8) for shape in renderer.shapes]
        renderer.render(images, 0, table, crops)
        finished = views.finish([torch.from_numpy(x).to(device) for x in crops], table)
        for how, got in (("images on the device", on_device), ("uint8 crops", finished)):
            d = [(a.cpu() - b).abs() * 255 for a, b in zip(got, want, strict=True)]
            rows.append(
                {
                    "views": f"{name} {size}",
                    "way": how,
                    "largest": max(float(x.max()) for x in d),
                    "mean": statistics.fmean(float(x.mean()) for x in d),
                }
            )
    return rows


def _table_of(views: Views, params: dict[str, np.ndarray]) -> np.ndarray:
    from jessl.views.params import as_table

    return as_table([params])[0]


def rates(args: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """jessl's device path beside kornia's and torchvision's on batches, taking turns."""
    n = args.batch_size
    rng = np.random.default_rng(0)
    crops = torch.from_numpy(rng.integers(0, 256, (n, 3, args.side, args.side), dtype=np.uint8)).to(
        device
    )
    small = torch.from_numpy(rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)).to(device)
    large_views, small_views = presets.simclr(args.side), presets.simclr(32)
    ids = np.arange(n)
    large_table = np.stack(
        [_table_of(large_views, p) for p in large_views.sample(ids, 0, 0, 375, 500)]
    )
    small_table = np.stack(
        [_table_of(small_views, p) for p in small_views.sample(ids, 0, 0, 32, 32)]
    )
    ways: dict[str, Callable[[], Any]] = {
        f"jessl, {args.side}, after the crop": lambda: large_views.finish(
            [crops, crops], large_table
        ),
        "jessl, 32, images on the device": lambda: small_views.apply_on_device(small, small_table),
        **_torchvision(crops),
        **_kornia(crops),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(args.rounds):
        for name, way in ways.items():
            times[name].append(_seconds(way, device))
    return [
        {
            "way": name,
            "images/s": n / statistics.median(t),
            "lowest": n / max(t),
            "highest": n / min(t),
        }
        for name, t in times.items()
    ]


def _torchvision(crops: torch.Tensor) -> dict[str, Callable[[], Any]]:
    import torchvision.transforms.v2 as v2

    jitter = v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], p=0.8)
    blur = v2.RandomApply([v2.GaussianBlur(23, (0.1, 2.0))], p=0.5)
    chain = v2.Compose([jitter, v2.RandomGrayscale(0.2), blur, v2.ToDtype(torch.float32, True)])
    return {
        "torchvision v2, 224, after the crop (one draw for the whole batch)": lambda: [
            chain(crops) for _ in range(2)
        ]
    }


def _kornia(crops: torch.Tensor) -> dict[str, Callable[[], Any]]:
    try:
        import kornia.augmentation as k
    except ImportError:
        say("kornia is not installed")
        return {}
    chain = k.AugmentationSequential(
        k.ColorJitter(0.8, 0.8, 0.8, 0.2, p=0.8),
        k.RandomGrayscale(p=0.2),
        k.RandomGaussianBlur((23, 23), (0.1, 2.0), p=0.5),
    )
    return {"kornia, 224, after the crop": lambda: [chain(crops.float() / 255) for _ in range(2)]}


def step(args: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """A full training step, and the share that the views of its batch would take of it."""
    encoder = build_encoder(args.encoder, size=args.side, pretrained=False)
    rate = measure_training(
        encoder,
        build_objective("vicreg", encoder.dim),
        sizes=[args.side, args.side],
        batch_size=args.batch_size,
        device=device,
    ).images_per_second
    crops = torch.zeros(
        (args.batch_size, 3, args.side, args.side), dtype=torch.uint8, device=device
    )
    views = presets.simclr(args.side)
    drawn = views.sample(np.arange(args.batch_size), 0, 0, 375, 500)
    table = np.stack([_table_of(views, p) for p in drawn])
    times = [_seconds(lambda: views.finish([crops, crops], table), device) for _ in range(8)][1:]
    step_seconds = args.batch_size / rate
    return [
        {
            "encoder": args.encoder,
            "images/s of steps": rate,
            "step, ms": 1000 * step_seconds,
            "views, ms": 1000 * statistics.median(times),
            "share of a step": statistics.median(times) / step_seconds,
        }
    ]


def end_to_end(args: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """Images a second through the loader, views on the device, at 1, half and all cores."""
    cores = usable_cores()
    rows = []
    for augment in ("cpu", "device"):
        for workers in sorted({1, max(1, cores // 2), cores}):
            loader = Loader(
                args.data, presets.simclr(224), args.batch_size, workers=workers,
                device=device, augment=augment,
            )  # fmt: skip
            for _ in loader:  # files hot, kernels compiled, buffers made
                pass
            done, since = 0, time.perf_counter()
            while time.perf_counter() - since < args.seconds:
                for batch in loader:
                    done += len(batch.ids)
                _wait(device)
            rows.append(
                {
                    "augment": augment,
                    "threads": workers,
                    "images/s": done / (time.perf_counter() - since),
                    "share of time waited": loader.stalled,
                }
            )
    return rows


def _seconds(work: Callable[[], Any], device: torch.device) -> float:
    _wait(device)
    since = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - since


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _named(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    names = list(rows[0])
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    for row in rows:
        cells = [f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
