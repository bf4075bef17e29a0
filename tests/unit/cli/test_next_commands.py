"""The commands that come next read the images as the command before did."""

import dataclasses
import shlex
from typing import Any

import numpy as np
import pytest

import jessl
from jessl.cli._inputs import data_options
from jessl.cli.decompose import DecomposeCommand
from jessl.cli.main import _command
from jessl.probes.bootstrap import Estimate
from jessl.schema import COMPONENT_NAMES

_ZERO = Estimate(0.0, 0.0, 0.0)


def test_options_of_reading_are_repeated() -> None:
    assert data_options("digits", None, None, None) == "--data digits"
    assert data_options("my tiles", "x", None, (0, 9000.5)) == (
        "--data 'my tiles' --x-key x --range 0 9000.5"
    )
    assert data_options("a.npy", None, 12, None) == "--data a.npy --bits 12"


@pytest.mark.parametrize(
    ("largest", "probe", "meta", "expected"),
    [
        ("usability", "logistic", {}, ["jessl probe --train 'a b' --test c --kind mlp"]),
        (
            "usability",
            "mlp",
            {"encoder": "timm:resnet18", "data": "my photos"},
            [
                "jessl select --encoders timm:resnet18 timm:resnet50 --data 'my photos' --out "
                "compared"
            ],
        ),
        (
            "approximation",
            "ridge",
            {"encoder": "smallconv:4"},
            ["jessl select --encoders RUN timm:resnet50 --data SRC --out compared"],
        ),
        (
            "probe_generalization",
            "ridge",
            {},
            [
                "jessl probe --train 'a b' --test c --fraction .1 .3 1",
                "jessl curate 'a b' --budget 1 --out curated",
            ],
        ),
        (
            "encoder_generalization",
            "ridge",
            {"encoder": "timm:resnet18"},
            [
                "jessl pretrain --data MORE --encoder timm:resnet18 --init pretrained --out more",
            ],
        ),
        (
            "encoder_generalization",
            "ridge",
            {"encoder": "smallconv:4"},
            ["jessl pretrain --data MORE --init RUN --out more"],
        ),
    ],
)
@pytest.mark.parametrize("decided", [True, False])
def test_a_decomposition_ends_with_what_makes_its_largest_part_smaller(
    largest: str, probe: str, meta: dict[str, Any], expected: list[str], decided: bool
) -> None:
    train = jessl.Embeddings(np.eye(4), [0, 0, 1, -1], meta=meta)
    parts: dict[str, Any] = dict.fromkeys(COMPONENT_NAMES, _ZERO)
    parts[largest] = Estimate(0.2, 0.1, 0.3)
    decomposition = jessl.RiskDecomposition(
        **parts,
        **dict.fromkeys(("risk", "midpoint", "bias"), _ZERO),
        differences={},
        dominant=largest if decided else None,
        order="published",
        params={},
        merged=False,
    )
    command = DecomposeCommand(train="a b", test="c", probe=probe)
    assert command._next(decomposition, train) == expected
    if largest == "usability" and probe == "logistic":  # of a twin that is not there
        merged = dataclasses.replace(decomposition, merged=True, dominant=None)
        assert command._next(merged, train) == expected
    for line in expected:
        words = shlex.split(line)
        _command(words[1], words[2:])
