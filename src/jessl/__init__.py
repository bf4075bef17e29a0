"""jessl: joint-embedding self-supervised learning of images.

The door of the library: public names, each imported when it is first used. Importing jessl
costs nothing and has no side effect.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jessl.config import Pretrain as Pretrain
    from jessl.embeddings import Embeddings as Embeddings

# public name -> module that holds it; a module without a name after the colon is a room
_HOMES = {
    "Pretrain": "jessl.config",
    "Embeddings": "jessl.embeddings",
    "objectives": "jessl.objectives",
    "views": "jessl.views",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("jessl")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'jessl' has no attribute {name!r}")
    module = import_module(home)
    return module if home == f"jessl.{name}" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
