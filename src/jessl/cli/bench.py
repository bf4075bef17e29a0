"""The command that measures the user's own data and machine: bench."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import tyro

from jessl.cli._base import table


@dataclass(kw_only=True)
class BenchCommand:
    """Measure the loader on your images and machine, and say what to change.

    Attributes:
        subject: what is measured: loader.
        data: SRC, the images.
        views: recipe of the views, by name or a .toml or .json file.
        options: of the recipe, such as flip 0 min_scale 0.3.
        size: side of the largest views, pixels; None: by the file, or chosen from the data.
        needs: images a second that the training takes; None: measured where --encoder is given.
        encoder: smallconv[:WIDTH], timm:NAME or torchvision:NAME, timed on --device.
        objective: loss and heads that are timed with the encoder.
        batch_size: images a batch; None: 256 on a GPU, 32 on a CPU.
        device: where the views go and the encoder is timed: auto, cpu, cuda or cuda:N. A GPU
            makes the colours of the views, so that threads only crop.
        threads: most threads to try; None: the cores of the machine.
        images: how many images the stages are measured on at most.
        seconds: how long each number of threads is measured.
        x_key: name of the images in an .npz file; None: x, images, data or arr_0.
        json: print the answer as JSON on standard output.
    """

    subject: tyro.conf.Positional[Literal["loader"]]
    data: str
    views: str = "simclr"
    options: dict[str, float] = field(default_factory=dict)
    size: int | None = None
    needs: float | None = None
    encoder: str | None = None
    objective: str = "vicreg"
    batch_size: int | None = None
    device: str = "auto"
    threads: int | None = None
    images: int = 256
    seconds: float = 2.0
    x_key: str | None = None
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Measure."""
        self._check()
        from jessl.core.devices import pick_device
        from jessl.core.log import log
        from jessl.core.resources import usable_cores
        from jessl.data import open_source
        from jessl.data.loading.loader_advice import packing_gain, verdict
        from jessl.data.loading.measure import (
            measure_loader,
            measure_packed,
            measure_stages,
            thread_counts,
        )
        from jessl.pretraining.defaults import default_size
        from jessl.views.presets import is_file, preset

        device = pick_device(self.device)
        source = open_source(self.data, x_key=self.x_key)
        for note in source.notes:
            log.note(note)
        wanted = self.size
        if wanted is None and not is_file(self.views):
            wanted = default_size(source, device)
        views = preset(self.views, wanted, self.options)
        size = max(view.size for view in views.recipes)
        batch_size = self.batch_size or (256 if device.type == "cuda" else 32)
        on_gpu = device.type == "cuda"
        need = self.needs
        if need is None and self.encoder is not None:
            log.info(f"timing steps of {self.encoder} on {device}")
            need = self._demand(device, [view.size for view in views.recipes], batch_size)
        log.info("measuring reading, decoding and views")
        stages = measure_stages(source, views, images=self.images, crops_only=on_gpu)
        short_side = -(-size * 8 // 7 // 16) * 16  # 256 for views of 224
        packed = None
        if stages.file_kb is not None and min(stages.height_px, stages.width_px) > short_side:
            log.info(f"measuring what packing to a short side of {short_side} would give")
            packed = measure_packed(source, views, short_side=short_side, crops_only=on_gpu)
        rates: dict[int, float] = {}
        for n in thread_counts(self.threads or usable_cores()):
            log.info(f"measuring the loader with {n} thread{'s' * (n > 1)}")
            rates[n] = measure_loader(
                source,
                views,
                batch_size=batch_size,
                threads=n,
                seconds=self.seconds,
                device=str(device),
            )
        lines = verdict(
            stages,
            packed,
            rates,
            short_side=short_side,
            need=need,
            shares_cores=self.needs is None and device.type == "cpu",
        )
        return {
            "data": source.name,
            "images": len(source),
            "size": size,
            "views": len(views),
            "batch_size": batch_size,
            "stages": {**asdict(stages), "images_per_second_and_core": stages.images_per_second},
            "packed": None
            if packed is None
            else {
                "short_side": short_side,
                "before": asdict(packed[0]),
                "after": asdict(packed[1]),
                "gain": packing_gain(packed),
            },
            "loader": [{"threads": n, "images_per_second": rate} for n, rate in rates.items()],
            "needs": need,
            "verdict": lines,
        }

    def _check(self) -> None:
        for name in ("size", "needs", "batch_size", "threads", "images", "seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")
        if self.needs is not None and self.encoder is not None:
            raise ValueError("needs and encoder answer the same question; give one of the two")

    def _demand(self, device: Any, sizes: list[int], batch_size: int) -> float:
        from jessl.core.precision import pick_precision
        from jessl.encoders import build_encoder
        from jessl.objectives import build_objective
        from jessl.training.throughput import images_per_second

        assert self.encoder is not None
        encoder = build_encoder(self.encoder, size=max(sizes))
        return images_per_second(
            encoder,
            build_objective(self.objective, encoder.dim),
            sizes=sizes,
            batch_size=batch_size,
            device=device,
            precision=pick_precision("auto", device),
        )

    def show(self, answer: dict[str, Any]) -> None:
        """The stages, the loader, and the verdict."""
        found = [("as they are", answer["stages"])]
        if answer["packed"]:
            found.append(
                (f"short side {answer['packed']['short_side']}", answer["packed"]["after"])
            )
        stages = ("read_ms", "decode_ms", "views_ms")
        rows = [
            [name, *(s[stage] for stage in stages), sum(s[stage] for stage in stages), s["file_kb"]]
            for name, s in found
        ]
        table(["ms an image", "read", "decode", "views", "sum", "kB a file"], rows)
        print()
        need = answer["needs"]
        loader = [
            [
                row["threads"],
                round(row["images_per_second"]),
                _share(row["images_per_second"], need),
            ]
            for row in answer["loader"]
        ]
        table(["threads", "images/s", "of what is needed"], loader)
        if need is not None:
            print(f"a training needs {need:,.0f} images/s")
        print()
        for line in answer["verdict"]:
            print(f"- {line}")


def _share(rate: float, need: float | None) -> str | None:
    if need is None:
        return None
    return "enough" if rate >= need else f"{rate / need:.0%}"
