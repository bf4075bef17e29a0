"""Parameters of views: names, units, and the table that the kernels read.

Internally the parameters of k views of n images are one table float64 [k, n, len(COLUMNS)]; users
get a dictionary of arrays for each view. Both hold the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jessl.core.validation import unknown_name

Params = dict[str, np.ndarray]

# name in the dictionary -> (type, neutral value), in the order of the columns.
#   crop_*_px        the box of the image that is cropped; place_*_px: its place in the view,
#                    after resizing (a height of 0 means the whole view)
#   apart            whether the crop does not overlap that of the view in `apart_from`
#   flipped, vflipped  horizontally and vertically
#   rotation_degrees counter-clockwise, about the centre
#   shift_*_px       translation
#   *_factor         1 = unchanged
#   hue_shift        in turns of the hue circle
#   jitter_order     int64 [n, 4]: which of brightness 0, contrast 1, saturation 2, hue 3 comes
#                    first, second, ...
#   blur_sigma_px    0 = no blur
#   noise_sigma      in units of the pixel range [0, 1]; noise_seed: of its pixels;
#                    noise_shared: one for all channels, in images that were grey
#   erase_*_px       the rectangle that is erased; a height of 0: none
NAMES: dict[str, tuple[type, float]] = {
    "crop_top_px": (int, 0),
    "crop_left_px": (int, 0),
    "crop_height_px": (int, 0),
    "crop_width_px": (int, 0),
    "place_top_px": (int, 0),
    "place_left_px": (int, 0),
    "place_height_px": (int, 0),
    "place_width_px": (int, 0),
    "apart": (bool, 0),
    "flipped": (bool, 0),
    "vflipped": (bool, 0),
    "rotation_degrees": (float, 0),
    "shift_down_px": (int, 0),
    "shift_right_px": (int, 0),
    "brightness_factor": (float, 1),
    "contrast_factor": (float, 1),
    "saturation_factor": (float, 1),
    "hue_shift": (float, 0),
    "jitter_order": (int, 0),
    "grayed": (bool, 0),
    "blur_sigma_px": (float, 0),
    "solarized": (bool, 0),
    "noise_sigma": (float, 0),
    "noise_seed": (int, 0),
    "noise_shared": (bool, 0),
    "erase_top_px": (int, 0),
    "erase_left_px": (int, 0),
    "erase_height_px": (int, 0),
    "erase_width_px": (int, 0),
}
_ORDER = "jitter_order"
COLUMNS: tuple[str, ...] = tuple(
    column
    for name in NAMES
    for column in ([f"{name}_{k}" for k in range(4)] if name == _ORDER else [name])
)
COLUMN = {name: k for k, name in enumerate(COLUMNS)}
_NEUTRAL = np.array(
    [float(column[-1]) if column.startswith(_ORDER) else NAMES[column][1] for column in COLUMNS]
)
_BOX = ("crop_top_px", "crop_left_px", "crop_height_px", "crop_width_px")


def neutral_table(k: int, n: int) -> np.ndarray:
    """Float64 [k, n, columns]: no operation is done, and the box is not set."""
    table = np.empty((k, n, len(COLUMNS)))
    table[:] = _NEUTRAL
    return table


def as_params(table: np.ndarray) -> list[Params]:
    """A dictionary for each view of a table [k, n, columns]; names end in units."""
    out: list[Params] = []
    for rows in table:
        params: Params = {}
        for name, (kind, _) in NAMES.items():
            if name == _ORDER:
                at = COLUMN[f"{_ORDER}_0"]
                params[name] = rows[:, at : at + 4].astype(np.int64)
            else:
                column = rows[:, COLUMN[name]]
                params[name] = column.astype(np.int64 if kind is int else kind)
        out.append(params)
    return out


def as_table(params: Sequence[Params]) -> np.ndarray:
    """The table [k, n, columns] of dictionaries; a parameter that is missing is neutral.

    Raises:
        ValueError: for an unknown name, a missing box, arrays of unlike length, numbers that are
            not finite, or an invalid order of the jitter.
    """
    if not params:
        raise ValueError("params: expected a dictionary for each view, got none")
    n = len(next(iter(params[0].values()), ()))
    table = neutral_table(len(params), n)
    for rows, named in zip(table, params, strict=True):
        for name in _BOX:
            if name not in named:
                raise ValueError(f"params: expected {name}, which is missing")
        for name, values in named.items():
            if name not in NAMES:
                raise ValueError(unknown_name("parameter of a view", name, list(NAMES)))
            if len(values) != n:
                raise ValueError(f"params: expected {n} values of {name}, got {len(values)}")
            if name == _ORDER:
                order = np.asarray(values)
                if order.shape != (n, 4) or (np.sort(order, axis=1) != np.arange(4)).any():
                    raise ValueError(
                        f"params: expected {name} with 0, 1, 2 and 3 in some order for each image"
                    )
                at = COLUMN[f"{_ORDER}_0"]
                rows[:, at : at + 4] = order
            else:
                rows[:, COLUMN[name]] = values
                if not np.isfinite(rows[:, COLUMN[name]]).all():
                    raise ValueError(f"params: expected finite values of {name}")
    return table
