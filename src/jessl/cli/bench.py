"""The command `jessl bench`."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Literal

import tyro

from jessl.cli._command import Command, JsonObject, ValueRangeOption
from jessl.cli._inputs import open_images
from jessl.cli._output import print_lines, print_table

if TYPE_CHECKING:
    import torch

    from jessl.data import Source
    from jessl.training.tuning.outcome import Tuning
    from jessl.views import Views


@dataclass(frozen=True, kw_only=True)
class BenchCommand(Command):
    """Measure how fast images are loaded on this machine, and recommend what to change.

    Attributes:
        subject: what is measured: loader.
        data: SRC, the images.
        views: recipe of the views, by name or a .toml or .json file.
        options: options of the recipe, such as flip 0 min_scale 0.3.
        size: side of the largest views in pixels; None: by the file, or chosen from the data.
        needs: images per second that the training consumes; None: measured if --encoder is given.
        encoder: smallconv[:WIDTH], timm:NAME or torchvision:NAME, whose training steps are timed on
            --device, in float32 and as `jessl pretrain` would tune them.
        objective: loss and heads that are timed with the encoder.
        batch_size: images per batch; None: 256 on a GPU, 32 on a CPU.
        device: where the views go and the encoder is timed: auto, cpu, cuda or cuda:N. A GPU
            computes the colours of the views, so that threads only crop.
        threads: largest number of threads to try; None: the cores of the machine.
        images: largest number of images to measure the stages on.
        seconds: how long each number of threads is measured.
        x_key: name of the images in an .npz file; None: x, images, data or arr_0.
        bits: bits in use of images stored in more than 8 bits a channel: 2^bits - 1 becomes white,
            larger values are clipped. 9 to 16; None: 65535 is white.
        value_range: the stored values that become black and white, instead of --bits; it also opens
            floating-point and signed images.
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
    bits: int | None = None
    value_range: ValueRangeOption = None

    def run(self) -> JsonObject:
        """Measure the stages of one image, then the loader with more and more threads."""
        self._check()
        from jessl.core.devices import pick_device
        from jessl.core.log import log
        from jessl.data.loading.loader_advice import loader_advice, packing_gain
        from jessl.data.loading.measure import measure_packed, measure_stages

        device = pick_device(self.device)
        on_gpu = device.type == "cuda"
        source = open_images(self)
        views = self._views(source, device)
        size = max(view.size for view in views.recipes)
        batch_size = self.batch_size or (256 if on_gpu else 32)
        needs, training = self.needs, None
        if self.encoder is not None:
            log.info(f"timing steps of {self.encoder} on {device}")
            training = self._measure_training(self.encoder, views, batch_size, device)
            needs = training.images_per_second
        log.info("measuring reading, decoding and views")
        stages = measure_stages(source, views, images=self.images, crops_only=on_gpu)
        short_side = -(-size * 8 // 7 // 16) * 16  # 256 for views of 224
        packed = None
        if stages.file_kb is not None and min(stages.height_px, stages.width_px) > short_side:
            log.info(f"measuring what packing to a short side of {short_side} would give")
            packed = measure_packed(source, views, short_side=short_side, crops_only=on_gpu)
        rates = self._measure_loader(source, views, batch_size, device)
        advice = loader_advice(
            stages,
            packed,
            rates,
            short_side=short_side,
            need=needs,
            shares_cores=self.needs is None and not on_gpu,
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
            "needs": needs,
            "training": None if training is None else _training(training),
            "verdict": advice,
        }

    def _check(self) -> None:
        for name in ("size", "needs", "batch_size", "threads", "images", "seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name}: expected a number above 0, got {value}")
        if self.needs is not None and self.encoder is not None:
            raise ValueError("needs, encoder: both say what the training needs; expected one")

    def _views(self, source: Source, device: torch.device) -> Views:
        from jessl.pretraining.defaults import default_size
        from jessl.views.presets import is_file, preset

        size = self.size
        if size is None and not is_file(self.views):
            size = default_size(source, device)
        return preset(self.views, size, self.options)

    def _measure_training(
        self, encoder: str, views: Views, batch_size: int, device: torch.device
    ) -> Tuning:
        """The speed of training steps with this encoder."""
        from jessl.encoders import build_encoder
        from jessl.objectives import build_objective
        from jessl.training.throughput import measure_training

        sizes = [view.size for view in views.recipes]
        net = build_encoder(encoder, size=max(sizes))
        return measure_training(
            net,
            build_objective(self.objective, net.dim),
            sizes=sizes,
            batch_size=batch_size,
            device=device,
        )

    def _measure_loader(
        self, source: Source, views: Views, batch_size: int, device: torch.device
    ) -> dict[int, float]:
        """Images per second by the number of threads."""
        from jessl.core.log import log
        from jessl.core.resources import usable_cores
        from jessl.data.loading.measure import measure_loader, thread_counts

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
        return rates

    def show(self, result: JsonObject) -> None:
        """The stages, the loader, and the recommendation."""
        images = [("as they are", result["stages"])]
        if packed := result["packed"]:
            images.append((f"short side {packed['short_side']}", packed["after"]))
        keys = ("read_ms", "decode_ms", "views_ms")
        print_table(
            ["ms an image", "read", "decode", "views", "sum", "kB a file"],
            [
                [name, *(s[k] for k in keys), sum(s[k] for k in keys), s["file_kb"]]
                for name, s in images
            ],
        )
        print_lines("")
        needs = result["needs"]
        rates = [(row["threads"], row["images_per_second"]) for row in result["loader"]]
        print_table(
            ["threads", "images/s", "of what is needed"],
            [[threads, round(rate), _share(rate, needs)] for threads, rate in rates],
        )
        if needs is not None:
            print_lines(f"a training needs {needs:,.0f} images/s")
        if training := result["training"]:
            print_lines("")
            print_table(
                ["training steps", "images/s", "times"],
                [
                    ["plain: float32", round(training["plain_images_per_second"]), 1.0],
                    [
                        f"tuned: {training['settings']}",
                        round(training["images_per_second"]),
                        training["gain"],
                    ],
                ],
            )
            print_lines(f"`jessl pretrain` tunes itself; {training['options']} fixes it")
        print_lines("")
        for line in result["verdict"]:
            print_lines(f"- {line}")


def _training(tuning: Tuning) -> JsonObject:
    """What was measured, and the options that fix it for the runs of a study."""
    from jessl.core.processor import instruction_sets

    speed = tuning.speed
    layout = "--channels-last" if speed.channels_last else "--no-channels-last"
    return {
        **tuning.as_json(instruction_sets()),
        "settings": str(speed),
        "plain_images_per_second": tuning.images_per_second / tuning.gain,
        "options": f"--precision {speed.precision} {layout}",
    }


def _share(rate: float, needs: float | None) -> str | None:
    if needs is None:
        return None
    return "enough" if rate >= needs else f"{rate / needs:.0%}"
