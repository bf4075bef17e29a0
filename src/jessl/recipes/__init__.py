"""Recipes: published runs by name, one function each; the folder is the registry.

Every function in the `__all__` of a file here takes SRC and gives a `Pretrain`. Its docstring is
the promise: paper, source of the settings, rate, expected number with its source or "no number
published", time and hardware, where jessl differs, and the command.

Rates: `lr` of a configuration is the peak after the warm-up. Where a source scales it with the
batch, the docstring says "base B x batch / 256", and `lr` is that product, batch_size being the
images of a step over all processes.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module

from jessl.config import Pretrain
from jessl.core.validation import check_choice

RECIPES: dict[str, Callable[[str], Pretrain]] = {}

for _file in pkgutil.iter_modules(__path__):
    if _file.name not in ("scaling", "studies"):
        _module = import_module(f"{__name__}.{_file.name}")
        RECIPES.update((_name, getattr(_module, _name)) for _name in _module.__all__)

NAMES: tuple[str, ...] = tuple(sorted(RECIPES))
# a line each, for help; python -OO strips docstrings
SUMMARIES: dict[str, str] = {
    _name: (RECIPES[_name].__doc__ or _name).partition("\n")[0] for _name in NAMES
}


def named(name: str, data: str) -> Pretrain:
    """The configuration of the recipe `name`.

    Args:
        name: one of `NAMES`.
        data: SRC: a folder of images, .npz/.npy, tar shards, ... as in `Pretrain`.

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    return RECIPES[check_choice("recipe", name, NAMES)](data)
