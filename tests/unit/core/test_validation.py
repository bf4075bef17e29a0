"""Checks of arguments: what they accept, and their messages."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from jessl.core.validation import check_choice, check_float, check_int, escape_control, unknown_name


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize("value", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers(value: object) -> None:
    number = check_int("size", value, 1, 3)
    assert (number, type(number)) == (3, int)


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (0, (1,), "size: expected a whole number of at least 1, got 0"),
        (np.int64(0), (1,), "size: expected a whole number of at least 1, got 0"),
        (8.0, (), "size: expected a whole number, got 8.0"),
        (True, (0,), "size: expected a whole number of at least 0, got True"),
        (np.True_, (0,), "size: expected a whole number of at least 0, got np.True_"),
        ("8", (0,), "size: expected a whole number of at least 0, got '8'"),
        (None, (), "size: expected a whole number, got None"),
        (9, (2, 8), "size: expected a whole number from 2 to 8, got 9"),
        (9, (None, 8), "size: expected a whole number of at most 8, got 9"),
    ],
)
def test_what_is_not_a_whole_number(value: object, limits: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=exactly(message)):
        check_int("size", value, *limits)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5)])
def test_numbers(value: object) -> None:
    number = check_float("share", value, above=0, below=1)
    assert (number, type(number)) == (0.5, float)
    assert check_float("t", 1, minimum=1, maximum=1) == 1.0


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (math.nan, {}, "lr: expected a finite number, got nan"),
        (math.inf, {"minimum": 0}, "lr: expected a finite number of at least 0, got inf"),
        (10**400, {}, "lr: expected a finite number, got 1" + 400 * "0"),
        (0.0, {"above": 0}, "lr: expected a finite number above 0, got 0.0"),
        (1, {"above": 0, "below": 1}, "lr: expected a number above 0 and below 1, got 1"),
        (1.5, {"above": 0, "maximum": 1}, "lr: expected a number above 0 and at most 1, got 1.5"),
        (
            np.float64(-1),
            {"minimum": 0, "maximum": 1},
            "lr: expected a number from 0 to 1, got -1.0",
        ),
        (1, {"minimum": 0, "below": 1}, "lr: expected a number of at least 0 and below 1, got 1"),
        (True, {"minimum": 0}, "lr: expected a finite number of at least 0, got True"),
        ("1", {}, "lr: expected a finite number, got '1'"),
        (None, {}, "lr: expected a finite number, got None"),
        (1j, {}, "lr: expected a finite number, got 1j"),
    ],
)
def test_what_is_not_a_number(value: object, limits: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=exactly(message)):
        check_float("lr", value, **limits)


def test_names() -> None:
    assert check_choice("stem", "small", ("small", "standard")) == "small"
    unknown = "unknown stem 'smal'; did you mean 'small'? Allowed: small, standard"
    with pytest.raises(ValueError, match=exactly(unknown)):
        check_choice("stem", "smal", ("standard", "small"))
    no_text = "stem: expected one of small, standard, got 3"
    with pytest.raises(ValueError, match=exactly(no_text)):
        check_choice("stem", 3, ("standard", "small"))
    assert unknown_name("x", "zzz", "abcd", most=2) == (
        "unknown x 'zzz'. Allowed: a, b, ... (4 in all)"
    )


def test_text_from_outside_is_one_printable_line() -> None:
    assert escape_control("a\x1b[31m\n\udcff\u202eé") == "a\\x1b[31m\\n\\xff\\u202eé"
