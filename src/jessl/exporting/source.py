"""Where exported weights came from, for people: no paths of this machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from jessl import runs
from jessl.config import ResolvedPretrain
from jessl.encoders import Encoder
from jessl.extraction.open_encoder import checkpoint_step
from jessl.extraction.reading import TRAINED_ON, trained_on

_STEP = ", step "


def source_of(
    encoder: str | Path | runs.Run | Encoder, provenance: Mapping[str, object]
) -> dict[str, object]:
    """Where weights came from, as JSON values.

    Args:
        encoder: the argument of `open_encoder`.
        provenance: what that returned.
    """
    weights = str(provenance.get("weights", "of an encoder in memory"))
    run = source_run(encoder)
    if run is not None:
        return _source_of_run(run, run.resolved_config(), weights)
    earlier = provenance.get("source")
    if isinstance(earlier, dict):  # of an export: where that came from
        return dict(earlier)
    source: dict[str, object] = {"weights": _file_name(weights)}
    if weights == "published":
        source["weights"] = f"published with {_without_folders(str(provenance['encoder']))}"
    report = provenance.get("weights_report")
    if isinstance(report, dict):
        source |= {k: report[k] for k in ("format", "prefix") if report.get(k)}
    return source


def _source_of_run(run: runs.Run, config: ResolvedPretrain, weights: str) -> dict[str, object]:
    step = int(weights.rpartition(_STEP)[2])
    source: dict[str, object] = {
        "weights": weights,
        "run": run.name,
        "objective": config.objective,
        "data": _file_name(config.data),
        "step": step,
    }
    facts = run.facts()
    if (known := trained_on(run)) is not None:
        source[TRAINED_ON] = known
    per_epoch = facts.get("steps_per_epoch")
    if isinstance(per_epoch, int) and per_epoch > 0:
        source["epochs"] = round(step / per_epoch, 3)
    if config.init is not None:
        source["init"] = _file_name(str(config.init))
    return source


def source_run(encoder: str | Path | runs.Run | Encoder) -> runs.Run | None:
    """The run that an encoder is of; None for others."""
    if isinstance(encoder, runs.Run):
        return encoder
    if isinstance(encoder, Encoder):
        return None
    step = checkpoint_step(encoder)
    if step is not None:
        return step[0]
    return runs.Run.open(encoder) if runs.is_run(encoder) else None


def architecture_name(encoder: Encoder) -> str:
    """The name of an encoder's architecture, without the folders that lead to a model on disk."""
    return _without_folders(encoder.name)


def _without_folders(name: str) -> str:
    family, _, rest = name.partition(":")
    if family != "hf" or not Path(rest).exists():
        return name
    return f"hf:{re.sub(r'[^A-Za-z0-9_.-]', '_', Path(rest).resolve().name)}"


def _file_name(text: str) -> str:
    """The last part of a path; other texts as they are."""
    return Path(text).name if Path(text).is_absolute() or Path(text).exists() else text
