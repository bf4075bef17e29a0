"""The available kinds of probes: the public files of `kinds/`."""

from __future__ import annotations

import pkgutil
from importlib import import_module

from jessl.probes import kinds
from jessl.probes.base import ProbeKind

# shown first, in this order; further files follow by name
_ORDER = ("logistic", "ridge", "mlp", "knn")


def _discover() -> dict[str, ProbeKind]:
    """The KIND of every public file of the folder."""
    names = [f.name for f in pkgutil.iter_modules(kinds.__path__) if not f.name.startswith("_")]
    names.sort(key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))
    return {name: import_module(f"{kinds.__name__}.{name}").KIND for name in names}


KINDS = _discover()
