"""Groups: from a column of a CSV file through sources and splits to embeddings, never divided."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from jessl.cli.main import main
from jessl.core.hashing import hashed_ids
from jessl.data import Source, Subset, open_source, split_source, unlabelled
from jessl.data.sources.relabel import SourceWithLabels
from jessl.embeddings import Embeddings
from jessl.encoders import build_encoder
from jessl.extraction.embed import embed


def rows(n: int, groups: list[int] | np.ndarray | None = None) -> Source:
    source = open_source((np.zeros((n, 2, 2), dtype=np.uint8), np.arange(n) % 3))
    return SourceWithLabels(
        source, source.labels, source.classes, (), None if groups is None else np.asarray(groups)
    )


def named(*names: str) -> list[int]:
    """The numbers of groups: hashes of their names, -1 for none."""
    return [int(hashed_ids([name], "")[0]) if name else -1 for name in names]


def written(folder: Path, text: str) -> Path:
    path = folder / "cells.csv"
    path.write_text(text, encoding="utf-8")
    return path


CELLS = "path,site,label,patient\n0,A,x,zoe\n1,A,y,bob\n2,B,x,bob\n4,B,y,zoe\n9,B,y,ann\n"


def test_a_column_of_the_labels_file(tmp_path: Path) -> None:
    images = np.zeros((5, 2, 2), dtype=np.uint8)
    path = written(tmp_path, CELLS)
    plain = open_source(images, labels=path)
    assert (plain.groups, plain.groups_column) == (None, None)
    source = open_source(images, labels=path, groups=" patient ")
    # ann is of an image that is not here; other images of the same file see her
    assert source.groups is not None
    assert (source.groups.dtype, source.groups.tolist()) == (
        np.int64,
        named("zoe", "bob", "bob", "", "zoe"),
    )
    assert source.groups_column == "patient"
    assert (source.labels.tolist(), source.classes) == ([0, 1, 0, -1, 1], ("x", "y"))
    assert source.notes[-1] == (
        f"{path}: 1 of 5 images have no group in column 'patient'; each is a group by itself"
    )
    sites = open_source(images, labels=path, groups="site")
    assert sites.groups.tolist() == named("A", "A", "B", "", "B")
    assert len({s.fingerprint() for s in (plain, source, sites)}) == 3
    last = open_source(Subset(open_source(np.zeros((10, 2, 2), np.uint8)), [9, 0]), labels=path,
                       groups="patient")  # fmt: skip
    assert last.groups.tolist() == named("ann", "zoe")


def test_groups_alone_leave_the_labels(tmp_path: Path) -> None:
    given = rows(3)
    source = open_source(given, labels=written(tmp_path, "camera,path\n7,0\n10,1\n7,2\n"),
                         groups="camera")  # fmt: skip
    assert source.groups.tolist() == named("7", "10", "7")
    assert source.labels.tolist() == given.labels.tolist()
    assert source.notes == ()
    # what replaces the labels leaves the groups
    again = open_source(source, labels=written(tmp_path, "path,label\n0,b\n1,a\n"))
    assert (again.labels.tolist(), again.groups.tolist()) == ([1, 0, -1], named("7", "10", "7"))
    assert again.groups_column == "camera"


def test_a_folder_and_repeated_rows(tmp_path: Path) -> None:
    for name in ("a/1.png", "b/2.png"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        Image.new("L", (3, 2)).save(tmp_path / "photos" / name)
    text = 'path,who,label\na/1.png,"Doe, J",\na/1.png,,\nb/2.png,é,\n'
    source = open_source(tmp_path / "photos", labels=written(tmp_path, text), groups="who")
    assert (source.labels, source.groups.tolist()) == (None, named("Doe, J", "é"))
    text += "b/2.png,e,\n"
    with pytest.raises(ValueError, match=r"groups: .*'b/2\.png' has the group 'é' in line 4 and"):
        open_source(tmp_path / "photos", labels=written(tmp_path, text), groups="who")


@pytest.mark.parametrize(
    ("text", "groups", "reason"),
    [
        (CELLS, "camera", "groups: .* has the column 'camera' not; .* path, site, label, patient"),
        ("path,a,a\n0,1,2\n", "a", "the column 'a' twice or more"),
        (
            "patient,label\nzoe,x\n",
            "patient",
            "columns path and label, once each, .* got patient, label",
        ),
        (
            "name,patient\n0,zoe\n",
            "patient",
            "columns path and patient, once each, .* got name, patient",
        ),
        ("path,label,label,a\n", "a", "once each"),
        ("", "a", "path and a, once each, .* got nothing"),
        ("path,a\n", "a", "no row below the header"),
        ("path,a\n77,x\n", "a", "none of its 1 path is in array"),
        ("path,a\n0,\n1,\n", "a", "groups: .* no image of array has a cell in column 'a'"),
        (CELLS, "", "groups: expected the name of a column"),
        (CELLS, 3, "groups: expected the name of a column of the labels file, got 3"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, groups: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        open_source(np.zeros((5, 2, 2), np.uint8), labels=written(tmp_path, text), groups=groups)
    assert "\n" not in str(caught.value)


def test_groups_need_the_file() -> None:
    with pytest.raises(ValueError, match=r"groups: 'patient' .* give labels"):
        open_source(np.zeros((5, 2, 2), dtype=np.uint8), groups="patient")


def test_what_wraps_a_source_keeps_its_groups() -> None:
    source = rows(6, [4, 4, -1, 0, -1, 0])
    assert unlabelled(source).groups.tolist() == source.groups.tolist()
    part = Subset(unlabelled(source), [5, 2, 0])
    assert part.groups.tolist() == [0, -1, 4]
    assert Subset(source, [2, 4]).groups is None
    assert rows(6).groups is None
    assert rows(6, [0] * 6).fingerprint() != rows(6, [1] * 6).fingerprint()


# the divisions of versions before groups: a published one never moves
@pytest.mark.parametrize(
    ("share", "seed", "digest"),
    [
        (0.1, 0, "b91712d3e926bbad"),
        (0.257, 7, "42c8f34e54406572"),
        (0.5, 2**40, "5efcdbe7589f9e4f"),
    ],
)
def test_without_groups_a_split_is_what_it_was(share: float, seed: int, digest: str) -> None:
    part = split_source(open_source("digits"), share, seed)[1]
    assert hashlib.sha256(part.ids.astype("<i8").tobytes()).hexdigest()[:16] == digest
    alone = open_source("digits")
    alone.groups = np.full(len(alone), -1)
    np.testing.assert_array_equal(split_source(alone, share, seed)[1].ids, part.ids)
    alone.groups = np.random.default_rng(0).permutation(len(alone)) - 50
    np.testing.assert_array_equal(split_source(alone, share, seed)[1].ids, part.ids)


def sides(groups: np.ndarray, part: Subset) -> None:
    """Fails where a group is on both sides."""
    inside = np.isin(np.arange(len(groups)), part.indices)
    for group in np.unique(groups[groups != -1]):
        assert len(set(inside[groups == group])) == 1, group


@pytest.mark.parametrize("seed", range(5))
def test_a_group_never_straddles(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.zipf(1.6, 600).clip(max=60)
    groups[rng.random(600) < 0.1] = -1
    source = rows(600, groups)
    for share in (0.02, 0.2, 0.5, 0.9):
        rest, part = split_source(source, share, seed)
        sides(groups, part)
        assert sorted([*rest.indices, *part.indices]) == list(range(600))
        assert (np.diff(part.indices) > 0).all()
        room = round(share * 600) - len(part)
        outside = groups[rest.indices]
        singles = np.count_nonzero(outside == -1)
        least = 1 if singles else np.unique(outside, return_counts=True)[1].min()
        assert 0 <= room < least  # not one group more fits
    order = rng.permutation(600)
    numbers = rng.permutation(61)
    renamed = np.where(groups == -1, -1, numbers[groups])
    turned = Subset(rows(600, renamed), order)
    assert set(split_source(turned, 0.2, seed)[1].ids) == set(
        split_source(source, 0.2, seed)[1].ids
    )


def test_how_much_falls_into_a_part_of_groups() -> None:
    fives = np.repeat(np.arange(20), 5)
    source = rows(100, fives)
    for share, count in ((0.0, 0), (0.25, 25), (0.28, 25), (0.01, 5), (0.99, 95), (1.0, 100)):
        rest, part = split_source(source, share, 3)
        sides(fives, part)
        assert (len(part), len(rest)) == (count, 100 - count)
    # where not one group fits: the smallest
    uneven = np.repeat([0, 1, 2], [40, 25, 35])
    for seed in range(8):
        assert set(uneven[split_source(rows(100, uneven), 0.1, seed)[1].indices]) == {1}
    with pytest.raises(ValueError, match="groups: all 100 images of array are one group"):
        split_source(rows(100, [8] * 100), 0.5, 0)
    assert [len(s) for s in split_source(rows(100, [8] * 100), 1, 0)] == [0, 100]


def test_groups_are_drawn_evenly_whatever_their_size() -> None:
    sizes = np.repeat([1, 9], 50)
    groups = np.repeat(np.arange(100), sizes)
    source = rows(500, groups)
    drawn = [np.unique(groups[split_source(source, 0.5, seed)[1].indices]) for seed in range(60)]
    large = [int((part >= 50).sum()) for part in drawn]
    small = [int((part < 50).sum()) for part in drawn]
    # small ones come where a large one no longer fits: 8 at most, so at most one large is lost
    assert abs(np.mean(large) - 25) < 1
    assert abs(np.mean(small) - 25) < 8
    times = np.bincount(np.concatenate(drawn), minlength=100)
    assert times.min() > 10  # of 60: every group is drawn sometimes
    assert times.max() < 50


def test_embeddings_carry_groups_and_what_they_are(tmp_path: Path) -> None:
    groups = [3, 3, -1, -7, 2**40]
    e = Embeddings(np.arange(10).reshape(5, 2), groups=groups, meta={"groups_column": "patient"})
    assert (e.groups.dtype, e.groups.tolist()) == (np.int64, groups)
    assert e.subset([4, 0]).groups.tolist() == [2**40, 3]
    e.save(tmp_path / "emb")
    assert Embeddings.load(tmp_path / "emb", mmap=True).groups.tolist() == groups


def photographs(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    (folder / "3.png").write_bytes(b"no image")
    cells = "".join(f"{i}.png,cam{i % 3}\n" for i in range(6) if i != 1)
    return written(folder, "path,camera\n" + cells)


def test_embed_gives_rows_the_groups_of_their_images(tmp_path: Path) -> None:
    table = photographs(tmp_path)
    torch.manual_seed(0)
    net = build_encoder("smallconv:4", size=16)
    source = open_source(tmp_path)
    of = {int(i): source.key(k) for k, i in enumerate(source.ids)}
    cams = named("cam0", "", "cam2", "cam1", "cam2")
    wanted = dict(zip(("0.png", "1.png", "2.png", "4.png", "5.png"), cams, strict=True))
    e = embed(net, tmp_path, labels=table, groups="camera", batch_size=2)
    assert [wanted[of[int(i)]] for i in e.ids] == e.groups.tolist()
    assert (e.n, e.labels, e.meta["groups_column"]) == (5, None, "camera")
    twice = embed(net, tmp_path, labels=table, groups="camera", views="simclr", n_views=2)
    assert [wanted[of[int(i)]] for i in twice.ids] == twice.groups.tolist()
    assert twice.n == 10
    without = embed(net, tmp_path)
    assert without.groups is None
    assert "groups_column" not in without.meta
    with pytest.raises(ValueError, match=r"groups: 'camera' .* give labels"):
        embed(net, tmp_path, groups="camera")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = photographs(tmp_path)
    line = ["embed", "smallconv:4", "--init", "random", "--data", str(tmp_path), "--json"]
    line += ["--out", str(tmp_path / "emb"), "--groups", "camera"]
    assert main(line) == 2
    assert capsys.readouterr().err.strip().endswith("give labels, a CSV file")
    assert main([*line, "--labels", str(table)]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["layers"]["backbone"][0] == 5
    assert "1 of 6 images have no group in column 'camera'" in said.err
    found = Embeddings.load(tmp_path / "emb")
    assert sorted(found.groups.tolist()) == sorted(named("", "cam0", "cam1", "cam2", "cam2"))
    assert found.meta["groups_column"] == "camera"
