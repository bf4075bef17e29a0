"""The command views."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# side of an image in the picture of views: wide enough for its caption
_CELL_PX = 144


@dataclass(kw_only=True)
class ViewsCommand:
    """Draw a few images and the views that an encoder will see of them, with what was done.

    Attributes:
        data: SRC, the images.
        preset: recipe of the views: byol, coarse, dino, gaussian_noise, multicrop, simclr, swav or
            vicreg; or a .toml or .json file.
        options: of the preset, such as flip 0 min_scale 0.3.
        out: PNG file to write.
        size: side of the largest views, pixels; None: by the file, or chosen from the data.
        count: how many images.
        seed: of the views.
        x_key: name of the images in an .npz file; None: x, images, data or arr_0.
        json: print the answer as JSON on standard output.
    """

    data: str
    preset: str = "simclr"
    options: dict[str, float] = field(default_factory=dict)
    out: str = "views.png"
    size: int | None = None
    count: int = 6
    seed: int = 0
    x_key: str | None = None
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Draw."""
        if self.count < 1:
            raise ValueError(f"count must be at least 1, got {self.count}")
        if self.size is not None and self.size < 8:
            raise ValueError(f"size must be at least 8 pixels, got {self.size}")
        import torch

        from jessl.core.image_grid import write_grid
        from jessl.core.log import log
        from jessl.data import open_source
        from jessl.pretraining.defaults import default_size
        from jessl.pretraining.view_grid import view_rows
        from jessl.views.presets import is_file, preset

        source = open_source(self.data, x_key=self.x_key)
        for note in source.notes:
            log.note(note)
        size = self.size
        if size is None and not is_file(self.preset):
            size = default_size(source, torch.device("cpu"))
        views = preset(self.preset, size, self.options)
        grid = view_rows(source, views, seed=self.seed, count=self.count)
        write_grid(
            self.out, grid.rows, columns=grid.columns, captions=grid.captions, cell_px=_CELL_PX
        )
        return {
            "out": self.out,
            "size": max(view.size for view in views.recipes),
            "views": [str(v) for v in views.recipes],
        }

    def show(self, answer: dict[str, Any]) -> None:
        """Where to look."""
        print(answer["out"])
