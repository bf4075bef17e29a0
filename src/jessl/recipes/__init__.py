"""Recipes: published runs by name, one function each; the folder is the registry.

Every function in the `__all__` of a file here takes SRC and returns a `Pretrain`; its docstring is
the promise. `lr` is the peak after the warm-up; "base B" means B x batch / 256, with the images of
a step over all processes. May import config and core."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from typing import Protocol

from jessl.config import Pretrain
from jessl.core.validation import check_choice


class RecipeFunction(Protocol):
    """A function from SRC to a configuration; its docstring is the promise."""

    __name__: str

    def __call__(self, data: str) -> Pretrain: ...


RECIPES: dict[str, RecipeFunction] = {}

for _file in pkgutil.iter_modules(__path__):
    if _file.name not in ("scaling", "studies"):
        _module = import_module(f"{__name__}.{_file.name}")
        RECIPES.update((_name, getattr(_module, _name)) for _name in _module.__all__)

NAMES: tuple[str, ...] = tuple(sorted(RECIPES))
# one line each, for help; python -OO strips docstrings
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
