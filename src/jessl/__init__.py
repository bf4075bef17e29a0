"""jessl: joint-embedding self-supervised learning of images.

The door of the library: public names, each imported when it is first used. Importing jessl
costs nothing and has no side effect.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jessl import objectives as objectives
    from jessl import views as views
    from jessl.comparison.compare import compare_encoders as compare_encoders
    from jessl.config import Pretrain as Pretrain
    from jessl.config import Sweep as Sweep
    from jessl.data import Batch as Batch
    from jessl.data import Loader as Loader
    from jessl.data import Source as Source
    from jessl.data import open_source as open_source
    from jessl.data.packing.pack import pack as pack
    from jessl.embeddings import Embeddings as Embeddings
    from jessl.encoders import Encoder as Encoder
    from jessl.encoders import build_encoder as build_encoder
    from jessl.extraction.embed import embed as embed
    from jessl.pretraining.pretrain import pretrain as pretrain
    from jessl.probes import ProbeResult as ProbeResult
    from jessl.probes import probe as probe
    from jessl.report import write_report as write_report
    from jessl.risk import RiskDecomposition as RiskDecomposition
    from jessl.risk import decompose as decompose
    from jessl.runs import Run as Run
    from jessl.scores import ScoreResult as ScoreResult
    from jessl.scores import Spectrum as Spectrum
    from jessl.scores import rankme as rankme
    from jessl.scores import score as score
    from jessl.selection import Selection as Selection
    from jessl.selection.checkpoints import select_checkpoints as select_checkpoints
    from jessl.selection.select import select as select
    from jessl.sweeps.sweep import sweep as sweep

# public name -> room that holds it; a room that bears the name is itself the public name
_HOMES = {
    "Batch": "data",
    "Embeddings": "embeddings",
    "Encoder": "encoders",
    "Loader": "data",
    "Pretrain": "config",
    "ProbeResult": "probes",
    "RiskDecomposition": "risk",
    "Run": "runs",
    "ScoreResult": "scores",
    "Selection": "selection",
    "Source": "data",
    "Spectrum": "scores",
    "Sweep": "config",
    "build_encoder": "encoders",
    "compare_encoders": "comparison.compare",
    "decompose": "risk",
    "embed": "extraction.embed",
    "objectives": "objectives",
    "open_source": "data",
    "pack": "data.packing.pack",
    "pretrain": "pretraining",
    "probe": "probes",
    "rankme": "scores",
    "score": "scores",
    "select": "selection",
    "select_checkpoints": "selection.checkpoints",
    "sweep": "sweeps.sweep",
    "views": "views",
    "write_report": "report",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("jessl")
    room = _HOMES.get(name)
    if room is None:
        raise AttributeError(f"module 'jessl' has no attribute {name!r}")
    module = import_module(f"jessl.{room}")
    return module if room == name else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
