"""Recipes of views as frozen data, with their checks, and to and from JSON or TOML."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Self

from jessl.config.field_types import convert_to_annotation
from jessl.core.imagenet import IMAGENET_MEAN, IMAGENET_STD
from jessl.core.validation import check_choice, check_float, check_int, unknown_name

# limits that keep a mistyped number from exhausting memory
_MOST_PX = 4096
_MOST_VIEWS = 256

CROPS = ("random", "center", "corner", "pad")
_PROBABILITIES = (
    "flip",
    "vflip",
    "rotate",
    "translate",
    "jitter",
    "gray",
    "blur",
    "solarize",
    "noise",
    "erase",
)


@dataclass(frozen=True, kw_only=True)
class View:
    """The recipe of one view: operations in torchvision's float semantics, in this order:

    crop and resize (antialiased bilinear), flips, rotation, translation, colour jitter, grayscale,
    Gaussian blur, solarize, Gaussian noise, normalisation, random erasing.

    Probabilities are in [0, 1]; an operation with probability 0 is left out. Pixels are
    in [0, 1] before normalisation. Saturation, hue and grayscale need three channels and do not
    change images of 1, 2 or 4.

    Example:
        View(size=224, jitter=0.8, brightness=0.4, blur=0.5)

    Attributes:
        size: side of the square view, pixels.
        crop: "random" (torchvision's RandomResizedCrop); "center" or "corner": a square of
            `crop_share` of the short side, in the middle or in one of the four corners; "pad":
            the whole image, its aspect kept, the rest filled.
        min_scale, max_scale: share of the image's area in a random crop.
        min_ratio, max_ratio: width / height of a random crop.
        crop_share: side of a centre or corner crop in shares of the image's short side.
        apart_from: number of an earlier view (0, 1, ...) whose crop this random crop does not
            overlap, as long as there is room beside it; None: no such constraint.
        flip, vflip: probability of a horizontal and of a vertical flip.
        rotate: probability of a rotation about the centre, bilinear, by an angle drawn from
            [-rotate_degrees, rotate_degrees].
        translate: probability of a shift by whole pixels, down and right each drawn from
            [-translate_share, translate_share] of the size.
        fill: value in [0, 1] of pixels outside the image.
        jitter: probability that the colours are jittered, in a random order of the four.
        brightness, contrast, saturation: range of the factor, drawn from [1 - x, 1 + x], at
            least 0.
        hue: range of the shift, drawn from [-x, x], in turns of the hue circle, at most 0.5.
        gray: probability of conversion to grayscale.
        blur: probability of a Gaussian blur with a sigma drawn from `blur_sigma_px`.
        blur_kernel_px: side of the blur kernel, odd; None: a tenth of the view, at least 3.
        solarize: probability that pixels at or above one half are inverted.
        noise: probability that independent Gaussian noise with a standard deviation drawn from
            `noise_sigma` is added to each pixel and channel; the result is clamped to [0, 1].
        erase: probability that a rectangle becomes the mean colour (0 after normalisation).
        erase_scale, erase_ratio: its share of the area, and its height / width.
    """

    size: int
    crop: str = "random"
    min_scale: float = 0.08
    max_scale: float = 1.0
    min_ratio: float = 3 / 4
    max_ratio: float = 4 / 3
    crop_share: float = 1.0
    apart_from: int | None = None
    flip: float = 0.5
    vflip: float = 0.0
    rotate: float = 0.0
    rotate_degrees: float = 0.0
    translate: float = 0.0
    translate_share: float = 0.0
    fill: float = 0.0
    jitter: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    gray: float = 0.0
    blur: float = 0.0
    blur_sigma_px: tuple[float, float] = (0.1, 2.0)
    blur_kernel_px: int | None = None
    solarize: float = 0.0
    noise: float = 0.0
    noise_sigma: tuple[float, float] = (0.0, 0.0)
    erase: float = 0.0
    erase_scale: tuple[float, float] = (0.02, 0.33)
    erase_ratio: tuple[float, float] = (0.3, 3.3)

    def __post_init__(self) -> None:
        if not 1 <= self.size <= _MOST_PX:
            raise ValueError(f"size: expected 1 to {_MOST_PX} pixels, got {self.size}")
        check_choice("crop", self.crop, CROPS)
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(
                    f"{name}: expected a probability in [0, 1], got {getattr(self, name)}"
                )
        if not 0 < self.min_scale <= self.max_scale <= 1:
            raise ValueError(
                "min_scale and max_scale: expected 0 < min_scale <= max_scale <= 1, "
                f"got {self.min_scale} and {self.max_scale}"
            )
        if not 1e-3 <= self.min_ratio <= self.max_ratio <= 1e3:
            raise ValueError(
                "min_ratio and max_ratio: expected .001 <= min_ratio <= max_ratio <= 1000, "
                f"got {self.min_ratio} and {self.max_ratio}"
            )
        if not 0 < self.crop_share <= 1:
            raise ValueError(f"crop_share: expected a number in (0, 1], got {self.crop_share}")
        if self.apart_from is not None and (self.apart_from < 0 or self.crop != "random"):
            raise ValueError(
                "apart_from: expected an earlier view (0, 1, ...) and a random crop, "
                f"got {self.apart_from} with crop {self.crop!r}"
            )
        for name, most in (
            ("rotate_degrees", 180),
            ("translate_share", 1),
            ("fill", 1),
            ("hue", 0.5),
            ("brightness", 100),
            ("contrast", 100),
            ("saturation", 100),
        ):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise ValueError(f"{name}: expected a number in [0, {most}], got {value}")
        self._check_ranges()

    def _check_ranges(self) -> None:
        for name, most in (
            ("blur_sigma_px", _MOST_PX),
            ("erase_scale", 1),
            ("erase_ratio", 1000),
        ):
            low, high = getattr(self, name)
            if not 0 < low <= high <= most:
                raise ValueError(
                    f"{name}: expected two rising positive numbers up to {most}, "
                    f"got {getattr(self, name)}"
                )
        low, high = self.noise_sigma
        if not 0 <= low <= high < math.inf:
            raise ValueError(
                f"noise_sigma: expected two rising numbers of at least 0, got {self.noise_sigma}"
            )
        kernel = self.blur_kernel_px
        if kernel is not None and (kernel < 1 or kernel % 2 == 0):
            raise ValueError(f"blur_kernel_px: expected an odd positive number, got {kernel}")

    @property
    def kernel_px(self) -> int:
        """Side of the blur kernel: a tenth of the view (SimCLR, appendix A), odd, at least 3."""
        if self.blur_kernel_px is not None:
            return self.blur_kernel_px
        return max(3, int(0.1 * self.size) | 1)


@dataclass(frozen=True)
class ViewRecipes:
    """The recipe of k views of an image and the normalisation that the encoder expects.

    Data only; `jessl.views.Views` adds `sample` and `apply`.

    Attributes:
        recipes: the recipe of each of the k views.
        mean, std: of the normalisation, per channel, in units of the pixel range [0, 1].
        n_global: the first n_global views are global, the others local crops; None: all global.
    """

    recipes: tuple[View, ...]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    n_global: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= len(self.recipes) <= _MOST_VIEWS:
            raise ValueError(f"views: expected 1 to {_MOST_VIEWS} of an image, got {len(self)}")
        if not all(0 < value < math.inf for value in self.std):
            raise ValueError(f"std: expected positive numbers, got {self.std}")
        if not all(-math.inf < value < math.inf for value in self.mean):
            raise ValueError(f"mean: expected finite numbers, got {self.mean}")
        if len(self.mean) != len(self.std):
            raise ValueError(
                f"mean and std: expected a number for each channel, got {self.mean} and {self.std}"
            )
        if self.n_global is not None and not 1 <= self.n_global <= len(self.recipes):
            raise ValueError(f"n_global: expected 1 to {len(self.recipes)}, got {self.n_global}")
        for k, view in enumerate(self.recipes):
            if view.apart_from is not None and view.apart_from >= k:
                raise ValueError(
                    f"apart_from of view {k}: expected an earlier view, got {view.apart_from}"
                )

    def __len__(self) -> int:
        return len(self.recipes)

    def normalised(self, mean: tuple[float, ...], std: tuple[float, ...]) -> Self:
        """The same recipe with another normalisation."""
        return dataclasses.replace(self, mean=mean, std=std)

    def resized(self, size: int) -> Self:
        """The same recipe with its largest views at `size` pixels, smaller ones in proportion."""
        largest = max(view.size for view in self.recipes)
        return dataclasses.replace(
            self,
            recipes=tuple(
                dataclasses.replace(view, size=max(1, round(view.size * size / largest)))
                for view in self.recipes
            ),
        )

    def as_dict(self) -> dict[str, object]:
        """The recipe as data for TOML or JSON: the values that differ from the defaults."""
        out: dict[str, object] = {"views": [_non_default_fields(view) for view in self.recipes]}
        if (self.mean, self.std) != (IMAGENET_MEAN, IMAGENET_STD):
            out |= {"mean": list(self.mean), "std": list(self.std)}
        if self.n_global is not None:
            out["n_global"] = self.n_global
        return out

    @classmethod
    def from_dict(cls, data: dict[str, object]) -> Self:
        """A recipe from `as_dict`, TOML or JSON.

        Raises:
            ValueError: for an unknown or missing name, or a value of another type or out of range.
        """
        known = ("views", "mean", "std", "n_global")
        for name in data:
            if name not in known:
                raise ValueError(unknown_name("entry of views", name, known))
        views = data.get("views")
        if not isinstance(views, list) or not all(isinstance(v, dict) for v in views):
            raise ValueError(
                f"views: expected a list of tables, one for each view ([[views]] in TOML), "
                f"got {views!r}"
            )
        rest = {k: _numbers(k, data[k]) for k in ("mean", "std") if k in data}
        n_global = data.get("n_global")
        if n_global is not None:
            n_global = check_int("n_global", n_global, 1)
        return cls(tuple(_view(v) for v in views), **rest, n_global=n_global)


def _numbers(name: str, value: object) -> tuple[float, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f"{name}: expected a number for each channel, got {value!r}")
    return tuple(check_float(name, v) for v in value)


def _non_default_fields(view: View) -> dict[str, object]:
    out: dict[str, object] = {}
    for field in dataclasses.fields(View):
        value = getattr(view, field.name)
        if field.default is dataclasses.MISSING or value != field.default:
            out[field.name] = list(value) if isinstance(value, tuple) else value
    return out


def _view(data: dict[str, object]) -> View:
    types = {field.name: str(field.type) for field in dataclasses.fields(View)}
    values: dict[str, Any] = {}
    for name, value in data.items():
        if name not in types:
            raise ValueError(unknown_name("entry of a view", name, list(types)))
        values[name] = convert_to_annotation(name, value, types[name])
    if "size" not in values:
        raise ValueError("size: expected the view's side in pixels, got none")
    return View(**values)


def __getattr__(name: str) -> object:
    """`Views` was defined here before it was split from its data."""
    if name == "Views":
        from jessl.views import Views

        return Views
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
