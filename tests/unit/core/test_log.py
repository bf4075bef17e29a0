"""Lines to a person are escaped where they are printed, once."""

from __future__ import annotations

import json
from importlib import import_module

import pytest

from jessl.cli._output import print_lines, print_table
from jessl.core.log import Log
from jessl.core.validation import escape_control

main_module = import_module("jessl.cli.main")
WILD = "cat\x1b[31m\x9b\u202e\nsecond"
SAFE = "cat\\x1b[31m\\x9b\\u202e\\nsecond"


def test_a_log_escapes_each_kind_of_line() -> None:
    lines: list[str] = []
    log = Log(lines.append)
    log.info(WILD)
    log.note(WILD)
    log.warning(escape_control(WILD))  # already escaped: not twice
    assert lines == [SAFE, f"note: {SAFE}", f"warning: {SAFE}"]


def test_tables_and_lines_escape_their_cells(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines("", WILD)
    print_table([WILD, "n"], [[WILD, 1], ["dog", None]])
    empty, line, head, row, _ = capsys.readouterr().out.splitlines()
    assert (empty, line) == ("", SAFE)
    assert head == f"{SAFE}  n"
    assert row == f"{SAFE}  1"


def test_json_for_programs_has_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    main_module._print_json({"name": WILD, "plain": "é"})
    text = capsys.readouterr().out
    assert json.loads(text) == {"name": WILD, "plain": "é"}
    assert not set(text) & set("\x1b\x9b\u202e")


def test_an_error_is_one_safe_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main_module.main(["score", WILD]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "\x1b" not in error
    assert "\x9b" not in error
