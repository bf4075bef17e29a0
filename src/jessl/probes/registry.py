"""The available kinds of probes: the public files of `kinds/`."""

from __future__ import annotations

from jessl.core.discovery import public_modules
from jessl.probes import kinds
from jessl.probes.base import ProbeKind

# shown first, in this order; further files follow by name
_ORDER = ("logistic", "ridge", "mlp", "knn")


def _discover() -> dict[str, ProbeKind]:
    """The KIND of every public file of the folder."""
    modules = public_modules(kinds.__name__, kinds.__path__)
    names = sorted(modules, key=lambda n: (_ORDER.index(n) if n in _ORDER else len(_ORDER), n))
    return {name: modules[name].KIND for name in names}


KINDS = _discover()
