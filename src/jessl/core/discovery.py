"""Folders as registries: adding a file adds an entry."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from types import ModuleType


def public_modules(package: str, path: Iterable[str]) -> dict[str, ModuleType]:
    """The modules of a package without a leading underscore, imported, by name in order.

    Args:
        package: its dotted name.
        path: its `__path__`.

    Example:
        >>> from jessl.probes import kinds
        >>> sorted(public_modules(kinds.__name__, kinds.__path__))
        ['knn', 'logistic', 'mlp', 'ridge']
    """
    names = [module.name for module in pkgutil.iter_modules(path)]
    return {n: import_module(f"{package}.{n}") for n in names if not n.startswith("_")}
