"""Values of JSON, TOML or a command line become values of a field's type, or are refused."""

from __future__ import annotations

import math
import re

import pytest

from jessl.config.field_types import convert_to_annotation


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (1, "float", 1.0),
        (None, "float | None", None),
        (256, "str | int | None", "256"),
        ("mlp", "str | int", "mlp"),
        (3, "int", 3),
        ("true", "bool", True),
        (0, "bool", False),
        ([0, 1], "tuple[float, float]", (0.0, 1.0)),
    ],
)
def test_a_value_becomes_one_of_the_field(value: object, annotation: str, expected: object) -> None:
    converted = convert_to_annotation("x", value, annotation)
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("value", "annotation", "message"),
    [
        ("a", "float", "x: expected a number, got 'a'"),
        (True, "float | None", "x: expected a number, got True"),
        (math.inf, "float", "x: expected a finite number, got inf"),
        (None, "float", "x: expected a number, got None"),
        (1.0, "int", "x: expected a whole number, got 1.0"),
        (True, "int", "x: expected a whole number, got True"),
        (3, "str", "x: expected text, got 3"),
        (2, "bool", "x: expected true or false, got 2"),
        ([1.0], "tuple[float, float]", "x: expected two numbers, got [1.0]"),
        ([1.0, "a"], "tuple[float, float]", "x: expected a number, got 'a'"),
    ],
)
def test_other_values_are_refused(value: object, annotation: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        convert_to_annotation("x", value, annotation)
