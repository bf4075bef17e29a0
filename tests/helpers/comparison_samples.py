"""A comparison of encoders made by hand, with names that hold HTML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from helpers.zoo_samples import EVIL
from jessl.core.files import write_json
from jessl.core.image_grid import write_grid


def write_comparison(folder: Path) -> Path:
    """Fill `folder` with encoders.json and the pictures of three encoders; a fourth has failed."""
    names = ["first", EVIL, "third"]
    rows = [_encoder(name, place) for place, name in enumerate(names)]
    failed = {"name": "broken", "encoder": "broken", "slug": "b", "failed": f"no {EVIL}"}
    answer = {
        "format": "jessl.encoders",
        "version": 1,
        "settings": {
            "data": f"/data/{EVIL}",
            "images": 100,
            "of_images": 200,
            "data_checksum": "abc",
            "labelled": 100,
            "test": None,
            "views": "simclr",
            "n_views": 3,
            "view_images": 10,
            "probe": "logistic",
            "seed": 0,
        },
        "encoders": [*rows, failed],
        "orders": [
            {"column": "rankme", "names": names[::-1], "leaders": names[:0:-1]},
            {"column": "error", "names": names, "leaders": names[:1]},
        ],
        "agreement": [{"a": "rankme", "b": "error", "tau": -1.0, "n": 3}],
        "notes": [f"With labels {EVIL} wins.", "RankMe is not comparable."],
    }
    rng = np.random.default_rng(0)
    for row in rows:
        (folder / row["slug"]).mkdir()
        image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        columns = ("image", "nearest")
        file = folder / row["neighbours"]
        write_grid(file, [[image, image]], columns=columns, headings_as_text=True)
    write_json(folder / "encoders.json", answer)
    return folder


def _number(value: float, half: float = 0.1) -> dict[str, Any]:
    return {"value": value, "low": value - half, "high": value + half}


def _encoder(name: str, place: int, *, n: int = 100) -> dict[str, Any]:
    scores = {}
    for k, column in enumerate(("rankme", "normalized_rank", "lidar", "alpha_req", "twonn")):
        scores[column] = {
            **_number(10.0 * (k + 1) + place),
            "debiased": None,
            "n": n,
            "d": 20 * (place + 1),
            "params": {"source": f"someone {EVIL}"},
            "warnings": ["doubtful & so"],
        }
    labelled = {
        "error": _number(0.3 + 0.05 * place, 0.02),
        "few_shot": [{"shots": 3, **_number(0.5, 0.05)}],
        "risk": {
            key: _number(0.1 * (k + 1), 0.01)
            for k, key in enumerate(
                ("risk", "usability", "probe_generalization", "encoder_generalization")
            )
        },
    }
    return {
        "name": name,
        "encoder": f"spec of {name}",
        "slug": f"slug{place}",
        "failed": None,
        "method": None,
        "weights": "published",
        "d": 20 * (place + 1),
        "input_px": 32,
        "parameters": 1_234_567,
        "weights_mb": 4.9,
        "feature_mb_per_1000": 0.5,
        "cost": {
            "ms_per_image": 1.5,
            "low": 1.4,
            "high": 1.6,
            "batches": 3,
            "batch_size": 8,
            "device": "cpu",
            "warm": True,
        },
        "scores": scores,
        "labelled": labelled,
        "to_best": _number(0.05 * place, 0.02 if place else 0.0),
        "neighbours": f"slug{place}/neighbours.png",
        "warnings": [f"warning {place}"],
    }
