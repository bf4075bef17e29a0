"""Recipes of views in words, for people."""

from __future__ import annotations

from jessl.views.recipe import View

_JITTERED = ("brightness", "contrast", "saturation", "hue")


def describe_view(view: View) -> list[str]:
    """The size of a view and the operations of its recipe, in their order.

    Example:
        >>> describe_view(View(size=32, gray=0.2))
        ['32 px', 'random crop of 8 to 100 % of the area', 'flip 50 %', 'grayscale 20 %']
    """
    turned = f" by up to {view.rotate_degrees:g}°"
    shifted = f" by up to {100 * view.translate_share:g} %"
    amounts = ", ".join(f"{name} {value:g}" for name in _JITTERED if (value := getattr(view, name)))
    operations = (
        ("flip", view.flip, ""),
        ("vertical flip", view.vflip, ""),
        ("rotation", view.rotate, turned),
        ("shift", view.translate, shifted),
        ("colour jitter", view.jitter if amounts else 0.0, f" ({amounts})"),
        ("grayscale", view.gray, ""),
        ("blur", view.blur, f" (sigma {_range(view.blur_sigma_px)} px)"),
        ("solarize", view.solarize, ""),
        ("noise", view.noise, f" (sigma {_range(view.noise_sigma)})"),
        ("erased rectangle", view.erase, ""),
    )
    return [
        f"{view.size} px",
        _crop(view),
        *(f"{name} {100 * share:g} %{more}" for name, share, more in operations if share),
    ]


def _crop(view: View) -> str:
    if view.crop == "pad":
        return "the whole image, padded"
    if view.crop != "random":
        return f"{view.crop} crop of {100 * view.crop_share:g} % of the short side"
    apart = "" if view.apart_from is None else f", apart from view {view.apart_from + 1}"
    shares = f"{100 * view.min_scale:g} to {100 * view.max_scale:g} %"
    return f"random crop of {shares} of the area{apart}"


def _range(limits: tuple[float, float]) -> str:
    low, high = limits
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
