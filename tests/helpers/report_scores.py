"""Records of the scores beside RankMe at the end of a sample run."""

from __future__ import annotations

from typing import Any

from jessl.records import Record

# the scores beside RankMe, as shares of it
OTHER_SCORES = {
    "effective_rank": 0.999,
    "alpha_req": 0.05,
    "nesum": 0.3,
    "stable_rank": 0.1,
    "participation_ratio": 0.5,
}


def other_score(
    run: str, name: str, layer: str, rank: float, extra: dict[str, Any], end: dict[str, Any]
) -> Record:
    """A score beside RankMe at the end of a training."""
    value = rank * OTHER_SCORES[name]
    params = {k: extra["params"][k] for k in ("source", "jackknife", "seed")}
    if name == "alpha_req":
        params |= {"first": 11, "last": 100}
    told = {**extra, "params": params}
    if name != "effective_rank":
        told["debiased"] = None
    return Record(
        run=run,
        name=f"{name}/{layer}",
        value=value,
        sd=0.1,
        low=value - 0.2,
        high=value + 0.2,
        extra=told,
        **end,
    )


def view_retrieval(run: str, value: float, end: dict[str, Any]) -> Record:
    """View retrieval at the end of a training, with the value before it."""
    params = {
        "distractors": 500,
        "source": "share of views whose nearest is of the same image",
        "recipe": "0123456789ab",
    }
    return _of_views(run, "view_retrieval/backbone", value, params, end, untrained=0.04)


def rotation(run: str, value: float, end: dict[str, Any]) -> Record:
    """The rotation probe at the end of a training."""
    params = {"ridge": 1e-2, "source": "linear probe of the rotation"}
    return _of_views(run, "rotation/backbone", value, params, end)


def _of_views(
    run: str, name: str, value: float, params: dict[str, Any], end: dict[str, Any], **more: object
) -> Record:
    return Record(
        run=run,
        name=name,
        value=value,
        sd=0.01,
        low=value - 0.02,
        high=value + 0.02,
        extra={
            "n": 1200,
            "d": 64,
            "debiased": None,
            "warnings": [],
            "params": {**params, "jackknife": 20, "seed": 0, "views": 4},
            **more,
        },
        **end,
    )
