"""JSON, TOML and records of any content end in one line or are left out."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from jessl import records
from jessl.core.files import read_json, read_toml
from jessl.encoders.checkpoints.reading import read_file


@pytest.mark.parametrize(
    "content",
    [b"[" * 200_000, b"1" * 9_000, b"\xff\xfe", b'{"a": ', b"a = [" + b"[" * 100_000, b"\0"],
)
@pytest.mark.parametrize("read", [read_json, read_toml])
def test_malformed_documents_name_the_file(tmp_path: Path, content: bytes, read: object) -> None:
    path = tmp_path / "d.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"d\.json is not") as error:
        read(path)  # type: ignore[operator]
    assert "\n" not in str(error.value)


def test_a_mark_at_the_beginning_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "d.json") == {"a": 1}
    (tmp_path / "d.toml").write_bytes(b"\xef\xbb\xbfa = 1")
    assert read_toml(tmp_path / "d.toml") == {"a": 1}


def test_pipes_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "records.jsonl")
    assert records.read(tmp_path) == []
    with pytest.raises(ValueError, match="not a regular file"):
        read_json(tmp_path / "records.jsonl")


def test_records_of_wrong_types_are_left_out(tmp_path: Path) -> None:
    good = {"run": "r", "name": "loss", "value": 1.0, "split": "train"}
    wrong = [{"split": 3}, {"seconds": "x"}, {"versions": []}, {"value": ["a"]}, {"extra": [1]}]
    lines = [json.dumps({**good, **change}) for change in wrong]
    lines += ["[" * 200_000, '{"run": "r", "name": "x", "value": ' + "1" * 9_000 + "}"]
    (tmp_path / "records.jsonl").write_text("\n".join([*lines, json.dumps(good)]))
    assert [r.value for r in records.read(tmp_path)] == [1.0]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
        ("<!DOCTYPE html><html></html>", "a web page"),
    ],
)
def test_text_in_the_place_of_weights(tmp_path: Path, text: str, kind: str) -> None:
    (tmp_path / "w.pth").write_text(text)
    with pytest.raises(ValueError, match=f"is text \\({kind}.*not weights"):
        read_file(tmp_path / "w.pth")


def test_a_whole_number_that_no_float_holds_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text('{"n": ' + "1" * 400 + "}")
    with pytest.raises(ValueError, match="a whole number of 400 digits"):
        read_json(tmp_path / "d.json")
