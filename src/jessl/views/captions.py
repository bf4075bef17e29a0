"""Short captions of the parameters of a view, for pictures."""

from __future__ import annotations

import numpy as np

from jessl.views.params import Params


def caption(params: Params, k: int, height: int, width: int) -> list[str]:
    """The operations that changed image k, in their order.

    Args:
        params: of one view (`jessl.views.params`).
        k: number of the image.
        height, width: of the image, pixels.

    Returns:
        Short phrases: "crop 210x180" and "erase 8x12" (width x height, pixels), "pad", "flip",
        "vflip", "turn +12°" (counter-clockwise), "shift +3 -2" (right, down, pixels),
        "bright 1.20", "contrast 0.80", "colour 1.10" (factors), "hue +.07" (turns), "gray",
        "blur 1.2" (sigma, pixels), "solarize", "noise .10" (sigma).
    """
    p = {name: values[k] for name, values in params.items() if values.ndim == 1}
    box = (int(p["crop_height_px"]), int(p["crop_width_px"]))
    phrases = []
    if box != (height, width):
        phrases.append(f"crop {box[1]}x{box[0]}")
    if p["place_height_px"]:
        phrases.append("pad")
    phrases += [word for word, name in (("flip", "flipped"), ("vflip", "vflipped")) if p[name]]
    if p["rotation_degrees"]:
        phrases.append(f"turn {p['rotation_degrees']:+.0f}°")
    if p["shift_right_px"] or p["shift_down_px"]:
        phrases.append(f"shift {p['shift_right_px']:+d} {p['shift_down_px']:+d}")
    factors = {0: "brightness", 1: "contrast", 2: "saturation"}
    words = {0: "bright", 1: "contrast", 2: "colour"}
    for kind in params["jitter_order"][k]:
        if kind == 3 and abs(p["hue_shift"]) >= 0.005:
            phrases.append(f"hue {_short(p['hue_shift'], '+.2f')}")
        elif kind < 3 and p[f"{factors[kind]}_factor"] != 1:
            phrases.append(f"{words[kind]} {p[f'{factors[kind]}_factor']:.2f}")
    phrases += ["gray"] * bool(p["grayed"])
    if p["blur_sigma_px"]:
        phrases.append(f"blur {p['blur_sigma_px']:.1f}")
    phrases += ["solarize"] * bool(p["solarized"])
    if p["noise_sigma"]:
        phrases.append(f"noise {_short(p['noise_sigma'], '.2f')}")
    if p["erase_height_px"]:
        phrases.append(f"erase {p['erase_width_px']}x{p['erase_height_px']}")
    return phrases or ["as it is"]


def _short(value: np.floating, form: str) -> str:
    return format(float(value), form).replace("0.", ".", 1)
