"""Records: lines that were changed or cut are left out, and reported once."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from jessl import records
from jessl.records import Record


def _written(folder: Path, count: int = 5) -> tuple[list[Record], bytes]:
    values: list[float | list[float] | None] = [0.5, [1.0, 2.5], None, 3e-9, 12.0]
    written = [
        Record(run="ä", name=f"x{i}", value=values[i % 5], step=i, extra={"n": i, "w": ["a"]})
        for i in range(count)
    ]
    records.append(folder, written)
    return written, (folder / records.FILE).read_bytes()


def test_a_flipped_bit_costs_its_line_and_nothing_passes_unseen(tmp_path: Path) -> None:
    written, whole = _written(tmp_path)
    rng = random.Random(0)
    for _ in range(500):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        (tmp_path / records.FILE).write_bytes(data)
        read, damaged = records.read_lines(tmp_path)
        # a line end that is lost joins two lines; in the name of the checksum nothing is lost
        assert len(read) >= len(written) - 2
        assert read == written or damaged
        assert all(record in written for record in read)


def test_what_is_left_out_is_reported_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written, whole = _written(tmp_path)
    lines = whole.splitlines(keepends=True)
    changed = lines[1].replace(b"2.5", b"2.6")
    (tmp_path / records.FILE).write_bytes(b"".join([lines[0], changed, *lines[2:4], lines[4][:9]]))
    for _ in range(2):
        assert records.read(tmp_path) == [written[0], *written[2:4]]
    (note,) = capsys.readouterr().err.splitlines()
    assert note.endswith(
        "records.jsonl: 2 of 5 lines are incomplete or changed since they were written, and are "
        "left out; the first is line 2"
    )
    records.append(tmp_path, written[4:])  # which closes the torn line
    assert records.read_lines(tmp_path) == ([written[0], *written[2:]], [2, 5])


@pytest.mark.parametrize(
    "extra", [{"n": "9"}, {"d": []}, {"debiased": "x"}, {"warnings": "no"}, {"warnings": [3]}]
)
def test_facts_of_other_types_are_no_record(tmp_path: Path, extra: dict[str, object]) -> None:
    records.append(tmp_path, [Record(run="r", name="rankme/backbone", value=1.0, extra=extra)])
    assert records.read_lines(tmp_path) == ([], [1])


def test_lines_of_earlier_releases_have_no_checksum(tmp_path: Path) -> None:
    written, whole = _written(tmp_path)
    fields = [json.loads(line) for line in whole.splitlines()]
    assert all(isinstance(f.pop("crc32"), int) for f in fields)
    (tmp_path / records.FILE).write_text("\n".join(map(json.dumps, fields)))
    assert records.read_lines(tmp_path) == (written, [])
