"""The command `jessl views`."""

from __future__ import annotations

from dataclasses import dataclass, field

from jessl.cli._command import Command, JsonObject, ValueRangeOption
from jessl.cli._inputs import open_images
from jessl.cli._output import print_lines


@dataclass(frozen=True, kw_only=True)
class ViewsCommand(Command):
    """Draw a few images and the augmented views that an encoder is trained on, with captions.

    Attributes:
        data: SRC, the images.
        preset: recipe of the views: byol, coarse, dino, disjoint, gaussian_noise, grayscale,
            multicrop, simclr, swav or vicreg; or a .toml or .json file.
        options: options of the preset, such as flip 0 min_scale 0.3.
        out: PNG file to write.
        size: side of the largest views in pixels; None: by the file, or chosen from the data.
        count: number of images.
        seed: random seed of the views.
        x_key: name of the images in an .npz file; None: x, images, data or arr_0.
        bits: bits in use of images stored in more than 8 bits a channel: 2^bits - 1 becomes white,
            larger values are clipped. 9 to 16; None: 65535 is white.
        value_range: the stored values that become black and white, instead of --bits; it also opens
            floating-point and signed images.
    """

    data: str
    preset: str = "simclr"
    options: dict[str, float] = field(default_factory=dict)
    out: str = "views.png"
    size: int | None = None
    count: int = 6
    seed: int = 0
    x_key: str | None = None
    bits: int | None = None
    value_range: ValueRangeOption = None

    def run(self) -> JsonObject:
        """Draw."""
        from jessl.pretraining.view_grid import show_views

        grid = show_views(
            open_images(self),
            self.preset,
            options=self.options,
            size=self.size,
            count=self.count,
            seed=self.seed,
        )
        grid.save(self.out)
        views = grid.views
        return {
            "out": self.out,
            "size": max(view.size for view in views.recipes),
            "views": [str(v) for v in views.recipes],
        }

    def show(self, result: JsonObject) -> None:
        """The path of the picture."""
        print_lines(result["out"])
