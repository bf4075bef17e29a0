"""Recipes of views by name: the functions in `__all__` are the presets that `--views` accepts.

`preset` also accepts the path of a .toml or .json file with another recipe; `save` writes one.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path

from jessl.core.files import read_json, read_toml, write_json
from jessl.core.validation import check_choice, unknown_name
from jessl.views.recipe import View
from jessl.views.views import Views

__all__ = [
    *("byol", "coarse", "dino", "disjoint", "gaussian_noise", "grayscale", "multicrop"),
    *("simclr", "swav", "vicreg"),
]

# the recipe under which encoders are compared, whatever views they were trained on
COMPARISON = "simclr"
FILES = (".toml", ".json")
# largest side, pixels, of the published recipes for small images: half the jitter, no blur
_SMALL_PX = 64
# local crops of 96 pixels beside global ones of 224 (SwAV, DINO); other sizes keep that ratio
_LOCAL_SHARE = 96 / 224


def simclr(
    size: int,
    *,
    strength: float | None = None,
    min_scale: float = 0.08,
    flip: float = 0.5,
    gray: float = 0.2,
    blur: float | None = None,
) -> Views:
    """Two views of one recipe, by SimCLR (Chen et al. 2020, appendix A and B.9).

    Args:
        size: side of the views, pixels.
        strength: of the colour jitter: brightness, contrast, saturation 0.8 x strength, hue
            0.2 x strength. None: 1, and 0.5 up to 64 pixels (their CIFAR-10 setting).
        min_scale: smallest share of the image's area in a crop.
        flip: probability of a horizontal flip; 0 where left and right differ in meaning (text).
        gray: probability of conversion to grayscale.
        blur: probability of a blur. None: 0.5, and 0 up to 64 pixels (their CIFAR-10 setting).
    """
    small = size <= _SMALL_PX
    s = strength if strength is not None else (0.5 if small else 1.0)
    if s < 0:
        raise ValueError(f"strength: expected at least 0, got {s}")
    view = View(
        size=size,
        min_scale=min_scale,
        flip=flip,
        jitter=0.8 if s else 0.0,
        brightness=0.8 * s,
        contrast=0.8 * s,
        saturation=0.8 * s,
        hue=min(0.5, 0.2 * s),
        gray=gray,
        blur=blur if blur is not None else (0.0 if small else 0.5),
    )
    return Views((view, view))


def byol(size: int, *, min_scale: float = 0.08, flip: float = 0.5) -> Views:
    """Two views of different recipes, by BYOL (Grill et al. 2020, table 6).

    The first is always blurred (p = 1), the second rarely (.1) and sometimes solarized (.2).
    """
    first = _byol_view(size, min_scale=min_scale, flip=flip, blur=1.0)
    return Views((first, dataclasses.replace(first, blur=0.1, solarize=0.2)))


def vicreg(
    size: int, *, symmetric: bool = False, min_scale: float = 0.08, flip: float = 0.5
) -> Views:
    """Two views by VICReg (Bardes et al. 2022), whose code and paper differ.

    The authors' code (facebookresearch/vicreg, augmentations.py) uses BYOL's two different recipes,
    blur 1 and .1, solarize 0 and .2. The paper's appendix C.1 describes BYOL's views
    "symmetrised": both blur .5 and solarize .1, the same on average.

    Args:
        size: side of the views, pixels.
        symmetric: the paper's two equal recipes instead of the code's different ones (1 or 0).
        min_scale: smallest share of the image's area in a crop.
        flip: probability of a horizontal flip.
    """
    if symmetric not in (False, True):
        raise ValueError(f"symmetric: expected 0 or 1, got {symmetric}")
    if not symmetric:
        return byol(size, min_scale=min_scale, flip=flip)
    view = _byol_view(size, min_scale=min_scale, flip=flip, blur=0.5, solarize=0.1)
    return Views((view, view))


def multicrop(
    global_size: int,
    local_size: int | None = None,
    num_local: int = 6,
    *,
    num_global: int = 2,
    global_min_scale: float = 0.14,
    local_min_scale: float = 0.05,
    local_max_scale: float = 0.14,
    flip: float = 0.5,
) -> Views:
    """Large crops and many small ones of an image, with SimCLR's colours (SwAV, Caron et al. 2020).

    A local crop costs (local / global size)^2 of a global one: six of 96 pixels beside two of
    224 add half of the computation.

    Args:
        global_size: side of the global views, pixels.
        local_size: side of the local views. None: 96/224 of the global side, to the nearest
            multiple of 8 and at least 8: 96 of 224, 40 of 96, 16 of 32 pixels.
        num_local, num_global: number of each.
        global_min_scale: smallest share of the area in a global crop; the largest is 1.
        local_min_scale, local_max_scale: share of the area in a local crop.
        flip: probability of a horizontal flip.
    """
    large = simclr(global_size, min_scale=global_min_scale, flip=flip).recipes[0]
    small = dataclasses.replace(
        large,
        size=_local_size(global_size, local_size),
        min_scale=local_min_scale,
        max_scale=local_max_scale,
    )
    return _global_and_local([large] * _count("num_global", num_global, 1), small, num_local)


def swav(
    size: int, *, local_size: int | None = None, num_local: int = 6, flip: float = 0.5
) -> Views:
    """Two global views of (.14, 1) and six local ones of (.05, .14) by SwAV (Caron et al. 2020).

    Section 4.1 of the paper and the code's defaults (facebookresearch/swav, main_swav.py): 224 and
    96 pixels, SimCLR's jitter at full strength, blur .5. Up to 64 pixels the jitter is half as
    strong and there is no blur, as in `simclr`; sizes of local views as in `multicrop`.
    """
    return multicrop(size, local_size, num_local, flip=flip)


def dino(
    size: int,
    *,
    local_size: int | None = None,
    num_local: int = 8,
    split_scale: float = 0.4,
    flip: float = 0.5,
) -> Views:
    """Two global views of (.4, 1) and eight local ones of (.05, .4) by DINO (Caron et al. 2021).

    The code's defaults (facebookresearch/dino, main_dino.py): BYOL's colours; blur 1 in the first
    global view, .1 in the second, which is solarized with .2, and .5 in the local ones.

    Args:
        size: side of the global views, pixels.
        local_size: side of the local views; None: as in `multicrop`.
        num_local: number of local views.
        split_scale: share of the area that is the largest of local crops and the smallest of
            global ones: .4 for transformers; the authors used .14 for ResNet-50.
        flip: probability of a horizontal flip.
    """
    first = _byol_view(size, min_scale=split_scale, flip=flip, blur=1.0)
    second = dataclasses.replace(first, blur=0.1, solarize=0.2)
    small = dataclasses.replace(
        first,
        size=_local_size(size, local_size),
        min_scale=0.05,
        max_scale=split_scale,
        blur=0.5,
    )
    return _global_and_local([first, second], small, num_local)


def gaussian_noise(size: int, *, sigma: float = 0.1) -> Views:
    """Two copies of the image that differ in Gaussian noise only.

    Bordes et al. (2023, arXiv 2303.01986) report that noise alone can train a representation. The
    strength of their noise is not known here; the default `sigma` is a choice of jessl.

    Args:
        size: side of the views, pixels; the central square is resized to it.
        sigma: standard deviation of the noise in units of the pixel range [0, 1].
    """
    if sigma <= 0:
        raise ValueError(f"sigma: expected a number above 0, got {sigma}")
    view = View(size=size, crop="center", flip=0.0, noise=1.0, noise_sigma=(sigma, sigma))
    return Views((view, view))


def coarse(
    size: int, *, strength: float = 2.0, blur: float | None = None, flip: float = 0.5
) -> Views:
    """Two views of one recipe whose strength is one number (Dubois et al. 2022, arXiv 2209.06235).

    Stronger views that preserve the relevant content merge more images into one equivalence class,
    and fewer classes need fewer labels; the authors count about 24,000 classes at strength .25,
    20,000 at .5, 16,384 at 1 on Tiny ImageNet. Jitter, crops and gray at strength 1 follow their
    code (YannDubs/Invariant-Self-Supervised-Learning, simclr.py): jitter .2, .2, .2, .05 and crop
    .2 up to 32 pixels (CIFAR); .4, .4, .4, .1 and .2 up to 96 (Tiny ImageNet, STL-10); .8, .8, .8,
    .2 and .08 above (ImageNet).

    Args:
        size: side of the views, pixels.
        strength: multiplies the jitter and the probability of gray, divides the smallest crop;
            2 is their "coarse".
        blur: probability. None: .5 above strength 1 and above 96 pixels, else 0.
        flip: probability of a horizontal flip.
    """
    if strength <= 0:
        raise ValueError(f"strength: expected a number above 0, got {strength}")
    colour, crop, gray = (
        (0.2, 0.2, 0.1) if size <= 32 else (0.4, 0.2, 0.1) if size <= 96 else (0.8, 0.08, 0.2)
    )
    view = View(
        size=size,
        min_scale=min(1.0, crop / strength),
        flip=flip,
        jitter=0.8,
        brightness=colour * strength,
        contrast=colour * strength,
        saturation=colour * strength,
        hue=min(0.5, colour / 4 * strength),
        gray=min(1.0, gray * strength),
        blur=blur if blur is not None else (0.5 if strength > 1 or size > 96 else 0.0),
    )
    return Views((view, view))


def disjoint(
    size: int, *, min_scale: float = 0.15, max_scale: float = 0.35, flip: float = 0.5
) -> Views:
    """Two crops that do not overlap, with SimCLR's colours: hard views, for judging encoders.

    What two such views share is neither pixels nor their surroundings: a part of the object, or
    a style that the whole image has.

    Args:
        size: side of the views, pixels.
        min_scale, max_scale: share of the image's area in a crop; two of up to .35 have room beside
            each other in most images.
        flip: probability of a horizontal flip.
    """
    view = dataclasses.replace(
        simclr(size, flip=flip).recipes[0], min_scale=min_scale, max_scale=max_scale
    )
    return Views((view, dataclasses.replace(view, apart_from=0)))


def grayscale(size: int, *, min_scale: float = 0.08, flip: float = 0.5) -> Views:
    """Two views of SimCLR without colours: features cannot recognise an image by its colours.

    Args:
        size: side of the views, pixels.
        min_scale: smallest share of the image's area in a crop.
        flip: probability of a horizontal flip.
    """
    return simclr(size, min_scale=min_scale, flip=flip, gray=1.0)


def _byol_view(
    size: int, *, min_scale: float, flip: float, blur: float, solarize: float = 0.0
) -> View:
    return View(
        size=size,
        min_scale=min_scale,
        flip=flip,
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.1,
        gray=0.2,
        blur=blur,
        solarize=solarize,
    )


def _local_size(size: int, local_size: int | None) -> int:
    """The given size, or the multiple of 8 nearest to 96 / 224 of the global one, at least 8."""
    if local_size is not None:
        return _count("local_size", local_size, 1)
    return max(8, 8 * round(size * _LOCAL_SHARE / 8))


def _global_and_local(large: list[View], small: View, num_local: int) -> Views:
    local = [small] * _count("num_local", num_local, 0)
    return Views((*large, *local), n_global=len(large))


def _count(name: str, value: float, least: int) -> int:
    if value != int(value) or value < least:
        raise ValueError(f"{name}: expected a whole number of at least {least}, got {value}")
    return int(value)


def is_file(name: str) -> bool:
    """Whether a name of views is that of a file: it ends in .toml or .json.

    Raises:
        ValueError: for what is no name, such as a transform of torchvision.
    """
    if not isinstance(name, str | Path):
        raise ValueError(
            f"views: expected a preset ({', '.join(__all__)}) or a .toml or .json file with the "
            f"fields of jessl.views.View, whose operations are those of torchvision, got an object "
            f"of type {type(name).__name__}"
        )
    return Path(name).suffix.lower() in FILES


def check_preset(name: str, argument: str) -> str:
    """The name of a preset.

    Raises:
        ValueError: for an unknown one, with the nearest names.
    """
    return check_choice(argument, name, __all__)


def preset(name: str, size: int | None, options: Mapping[str, object] | None = None) -> Views:
    """The recipe of a preset or file.

    Example:
        preset("simclr", 96, {"blur": 0.0})

    Args:
        name: of a preset, or a .toml or .json file in the form of `Views.as_dict`:
            `[[views]]` tables with the fields of `View`, and mean, std, n_global.
        size: side of the largest views, pixels; None: that of the file.
        options: arguments of the preset's function; a file has none.

    Raises:
        ValueError: for an unknown preset or option, with the nearest names; for a file that is
            missing, cannot be read or is not a recipe, with its name and the reason.
    """
    options = options or {}
    if is_file(name):
        if options:
            raise ValueError(f"views {name}: expected no options for a file, got {list(options)}")
        views = load(name)
        return views if size is None else views.resized(size)
    if size is None:
        raise ValueError(f"size: expected pixels for views {name}, got None")
    try:
        build: Callable[..., Views] = globals()[check_choice("views", name, __all__)]
    except ValueError as error:
        raise ValueError(f"{error}; or the path of a .toml or .json file") from None
    parameters = inspect.signature(build).parameters
    first, *allowed = parameters
    for option, value in options.items():
        if option not in allowed:
            raise ValueError(unknown_name(f"option of views {name}", option, allowed))
        # the range is checked by the preset
        is_default = value is None and parameters[option].default is None
        if not (isinstance(value, bool | int | float) or is_default):
            raise ValueError(f"{option} of views {name}: expected a number, got {value!r}")
    return build(**{first: size}, **options)


def load(path: str | Path) -> Views:
    """Read the recipe in a .toml or .json file.

    Raises:
        ValueError: naming the file and the reason.
    """
    path = Path(path)
    data = read_json(path) if path.suffix.lower() == ".json" else read_toml(path)
    if not isinstance(data, dict):
        raise ValueError(f"{path}: expected a table with views, got {type(data).__name__}")
    try:
        return Views.from_dict(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def save(views: Views, path: str | Path) -> None:
    """Write a recipe as JSON, atomically; `load` and `--views` read it.

    Raises:
        ValueError: when the name does not end in .json.
    """
    if Path(path).suffix.lower() != ".json":
        raise ValueError(f"path: expected a name ending in .json, got {path}")
    write_json(path, views.as_dict())
