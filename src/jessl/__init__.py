"""jessl: joint-embedding self-supervised learning of images.

All public names, each imported when it is first used: importing jessl takes no time and has no side
effect.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jessl import objectives as objectives
    from jessl import views as views
    from jessl.classification.classifier import EmbeddingClassifier as EmbeddingClassifier
    from jessl.classification.classify import classify as classify
    from jessl.classification.finetune import finetune as finetune
    from jessl.classification.finetune_result import FinetuneResult as FinetuneResult
    from jessl.classification.fit import fit_classifier as fit_classifier
    from jessl.comparison.compare import compare_encoders as compare_encoders
    from jessl.config import Classify as Classify
    from jessl.config import Compare as Compare
    from jessl.config import Curate as Curate
    from jessl.config import Decompose as Decompose
    from jessl.config import Embed as Embed
    from jessl.config import Export as Export
    from jessl.config import Finetune as Finetune
    from jessl.config import Pack as Pack
    from jessl.config import Pretrain as Pretrain
    from jessl.config import Probe as Probe
    from jessl.config import Score as Score
    from jessl.config import Select as Select
    from jessl.config import SelectCheckpoints as SelectCheckpoints
    from jessl.config import Sweep as Sweep
    from jessl.curation.curate import curate as curate
    from jessl.curation.result import Curation as Curation
    from jessl.data import Batch as Batch
    from jessl.data import Loader as Loader
    from jessl.data import Source as Source
    from jessl.data import open_source as open_source
    from jessl.data.packing.pack import pack as pack
    from jessl.embeddings import Embeddings as Embeddings
    from jessl.encoders import Encoder as Encoder
    from jessl.encoders import build_encoder as build_encoder
    from jessl.encoders import register_encoder as register_encoder
    from jessl.exporting import ExportResult as ExportResult
    from jessl.exporting.export import export as export
    from jessl.extraction.embed import embed as embed
    from jessl.objectives import register_objective as register_objective
    from jessl.pretraining.pretrain import pretrain as pretrain
    from jessl.pretraining.view_grid import show_views as show_views
    from jessl.probes import ProbeResult as ProbeResult
    from jessl.probes import probe as probe
    from jessl.report import write_report as write_report
    from jessl.risk import RiskDecomposition as RiskDecomposition
    from jessl.risk import decompose as decompose
    from jessl.runs import Run as Run
    from jessl.scores import ScoreResult as ScoreResult
    from jessl.scores import Spectrum as Spectrum
    from jessl.scores import rankme as rankme
    from jessl.scores import register_score as register_score
    from jessl.scores import score as score
    from jessl.selection import Selection as Selection
    from jessl.selection.checkpoints import select_checkpoints as select_checkpoints
    from jessl.selection.select import select as select
    from jessl.sweeps.sweep import sweep as sweep

# public name -> package or module that has it; a package of the same name is itself public
_HOMES = {
    "Batch": "data",
    "Classify": "config",
    "Compare": "config",
    "Curate": "config",
    "Curation": "curation.result",
    "Decompose": "config",
    "Embed": "config",
    "Embeddings": "embeddings",
    "EmbeddingClassifier": "classification.classifier",
    "Encoder": "encoders",
    "Export": "config",
    "ExportResult": "exporting",
    "Finetune": "config",
    "FinetuneResult": "classification.finetune_result",
    "Loader": "data",
    "Pack": "config",
    "Pretrain": "config",
    "Probe": "config",
    "ProbeResult": "probes",
    "RiskDecomposition": "risk",
    "Run": "runs",
    "Score": "config",
    "ScoreResult": "scores",
    "Select": "config",
    "SelectCheckpoints": "config",
    "Selection": "selection",
    "Source": "data",
    "Spectrum": "scores",
    "Sweep": "config",
    "build_encoder": "encoders",
    "classify": "classification.classify",
    "compare_encoders": "comparison.compare",
    "curate": "curation.curate",
    "decompose": "risk",
    "embed": "extraction.embed",
    "export": "exporting.export",
    "finetune": "classification.finetune",
    "fit_classifier": "classification.fit",
    "objectives": "objectives",
    "open_source": "data",
    "pack": "data.packing.pack",
    "pretrain": "pretraining",
    "probe": "probes",
    "rankme": "scores",
    "register_encoder": "encoders",
    "register_objective": "objectives",
    "register_score": "scores",
    "score": "scores",
    "select": "selection",
    "select_checkpoints": "selection.checkpoints",
    "show_views": "pretraining.view_grid",
    "sweep": "sweeps.sweep",
    "views": "views",
    "write_report": "report",
}

__all__ = [*_HOMES]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("jessl")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'jessl' has no attribute {name!r}")
    module = import_module(f"jessl.{home}")
    return module if home == name else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*_HOMES, "__version__", "__doc__", "__all__"})
