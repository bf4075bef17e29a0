"""Warnings of one kind become one line."""

from jessl.core.merged_warnings import merge_warnings


def test_what_differs_in_numbers_is_one_kind() -> None:
    warnings = [(f"run-{k}", f"{80 + k}% of 1,000 rows is a mean") for k in range(5)]
    assert merge_warnings([*warnings, ("", "alone")], "runs") == [
        "80 to 84% of 1,000 rows is a mean (5 runs)",
        "alone",
    ]


def test_what_it_is_about_is_named_once() -> None:
    same = [("a", "n = 5 is few"), ("a", "n = 5 is few"), ("b", "n = 5 is few")]
    assert merge_warnings(same) == ["n = 5 is few (a, b)"]
    assert merge_warnings([]) == []
