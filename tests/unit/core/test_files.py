"""Atomic files and folders, locks, leftovers and links."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jessl.core import files
from jessl.core import leftovers as leftovers_module
from jessl.core.files import (
    Busy,
    atomic_directory,
    atomic_write,
    contained,
    copy_file,
    is_contained_file,
    locked,
)
from jessl.core.leftovers import is_leftover, leftovers, other_names, remove_leftovers

OURS = ".jessl-1-0123456789abcdef"
# hidden files of other programs, and names that are nearly ours
OTHERS = [
    ".backup.old",
    ".movie.part",
    ".records.jsonl.abcd1234.part",
    ".jessl-1-0123456789abcdef.part.bak",
    ".jessl-x-0123456789abcdef.part",
    ".jessl-1-0123456789ABCDEF.part",
    "jessl-1-0123456789abcdef.part",
]


def test_only_exact_names_are_leftovers(tmp_path: Path) -> None:
    for name in OTHERS:
        (tmp_path / name).write_text("mine")
    (tmp_path / f"{OURS}.part").write_text("half")
    (tmp_path / f"{OURS}.old").mkdir()
    assert [p.name for p in remove_leftovers(tmp_path)] == [f"{OURS}.old", f"{OURS}.part"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(OTHERS)
    assert not any(map(is_leftover, OTHERS))


def test_a_refused_folder_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / f"{OURS}.part").write_text("half")

    def refuse() -> None:
        raise ValueError("not ours")

    with pytest.raises(ValueError, match="not ours"), locked(tmp_path, check=refuse):
        pass
    assert [p.name for p in tmp_path.iterdir()] == [f"{OURS}.part"]
    with pytest.raises(ValueError, match="not ours"), locked(tmp_path / "new", check=refuse):
        pass
    assert not (tmp_path / "new").exists()


def test_leftovers_are_removed_under_the_lock_and_never_through_links(tmp_path: Path) -> None:
    elsewhere, run = tmp_path / "elsewhere", tmp_path / "run"
    for folder in (elsewhere, run, run / "checkpoints"):
        folder.mkdir()
        (folder / f"{OURS}.part").mkdir()
    (run / "embeddings").symlink_to(elsewhere)
    (run / ".jessl-2-0123456789abcdef.part").symlink_to(elsewhere)
    with locked(run):
        assert len(leftovers(run)) == 2  # nobody vouched for the folder
    with locked(run, check=lambda: None):
        assert other_names(run) == {"checkpoints", "embeddings"}
        assert not leftovers(run)
        assert not leftovers(run / "checkpoints")
    assert leftovers(elsewhere)


@pytest.mark.skipif(os.name == "nt", reason="no flock")
def test_what_another_process_writes_is_left_alone(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a") as part:
        part.write_text("a")
        assert is_leftover(part.name)
        assert remove_leftovers(tmp_path) == []
    with atomic_directory(tmp_path / "b"):
        assert remove_leftovers(tmp_path) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_a_link_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    (tmp_path / "run").mkdir()
    for name in ("written", "copied"):
        (tmp_path / "run" / name).symlink_to(mine)
    with atomic_write(tmp_path / "run" / "written") as part:
        part.write_text("new")
    copy_file(tmp_path / "run" / "written", tmp_path / "run" / "copied")
    assert mine.read_text() == "mine"
    assert (tmp_path / "run" / "copied").read_text() == "new"
    assert not (tmp_path / "run" / "copied").is_symlink()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    with atomic_directory(tmp_path / "link"):
        pass
    assert (tmp_path / "folder" / "x").read_text() == "x"
    assert not (tmp_path / "link").is_symlink()


def test_links_out_of_a_folder_are_not_followed(tmp_path: Path) -> None:
    run, secret = tmp_path / "run", tmp_path / "secret"
    run.mkdir()
    secret.mkdir()
    (secret / "key.png").write_text("key")
    (run / "checkpoints").symlink_to(secret)
    (run / "views.png").symlink_to(secret / "key.png")
    (run / "inner").mkdir()
    (run / "own").symlink_to(run / "inner")
    (run / "circle").symlink_to(run / "circle")
    for parts in (("checkpoints",), ("checkpoints", "step-1"), ("..", "secret"), ("views.png",)):
        with pytest.raises(ValueError, match=r"leads out of .*links in it are not followed"):
            contained(run, *parts)
    assert contained(run, "own") == run / "own"
    (tmp_path / "alias").symlink_to(run)  # a person gave the folder itself
    assert contained(tmp_path / "alias", "inner").is_dir()
    assert not is_contained_file(run, "views.png")
    assert not is_contained_file(run, "circle")
    (run / ".lock").symlink_to(secret / "key.png")
    with pytest.raises(ValueError, match=r"\.lock is a link"), locked(run):
        pass
    assert (secret / "key.png").read_text() == "key"


def test_one_writer(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(Busy, match="another process"), locked(tmp_path):
        pass


KILL = """
import os, signal, sys
from pathlib import Path
from jessl.core import files, leftovers
where, target = sys.argv[1], Path(sys.argv[2])
if sys.argv[3] == "aside":
    files.exchange = lambda a, b: False
def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)
if where == "exchanged":
    files.remove_tree = die
elif where == "aside":
    replace = Path.replace
    def first(self, to):
        replace(self, to)
        if str(self) == str(target):
            die()
    Path.replace = first
with files.atomic_directory(target) as part:
    (part / "new").write_text("new")
    if where == "writing":
        die()
"""


@pytest.mark.skipif(os.name == "nt", reason="no flock")
@pytest.mark.parametrize(
    ("where", "how", "left"),
    [
        ("writing", "exchange", "old"),
        ("exchanged", "exchange", "new"),
        ("exchanged", "aside", "new"),
        ("aside", "aside", None),
    ],
)
def test_a_kill_leaves_the_old_or_the_new_folder(
    tmp_path: Path, where: str, how: str, left: str | None
) -> None:
    target = tmp_path / "z"
    target.mkdir()
    (target / "old").write_text("old")
    (tmp_path / ".other.part").write_text("not ours")
    (tmp_path / f"{OURS}.part").write_text("of another target")
    done = subprocess.run([sys.executable, "-c", KILL, where, str(target), how])
    assert done.returncode == -signal.SIGKILL
    assert left is None or [p.name for p in target.iterdir()] == [left]
    if left is None:  # no file system of ours, and the next call brings it back
        assert files.remove_leftovers(tmp_path, target=target)
        assert [p.name for p in target.iterdir()] == ["old"]
    with atomic_directory(target) as part:
        (part / "third").write_text("third")
    assert [p.name for p in target.iterdir()] == ["third"]
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [f"{OURS}.part", ".other.part", "z"]


@pytest.mark.skipif(os.name == "nt", reason="no flock")
def test_a_file_that_is_cleaned_up_before_it_is_held_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker cleans up between the two steps of another one's write."""
    create, times = leftovers_module._create_file, []

    def cleaned(path: Path) -> None:
        create(path)
        if not times:
            assert remove_leftovers(tmp_path) == [path]
        times.append(path)

    monkeypatch.setattr(leftovers_module, "_create_file", cleaned)
    with atomic_write(tmp_path / "a") as part:
        part.write_text("a")
        assert remove_leftovers(tmp_path) == []
    assert len(times) == 2
    assert (tmp_path / "a").read_text() == "a"


@pytest.mark.parametrize("write", [atomic_write, atomic_directory])
def test_nothing_is_removed_where_nothing_could_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: object
) -> None:
    (tmp_path / "mine").write_text("mine")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(leftovers_module.os, "open", refuse)
    monkeypatch.setattr(Path, "mkdir", lambda self, *a, **k: None if k else refuse())
    with pytest.raises(OSError, match="No space left"), write(tmp_path / "a"):  # type: ignore[operator]
        pass
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]


def test_a_failed_second_step_brings_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "z"
    target.mkdir()
    (target / "old").write_text("old")
    replace = Path.replace

    def refused(self: Path, to: Path) -> Path:
        if self.suffix == ".part":
            raise OSError(5, "Input/output error")
        return replace(self, to)

    monkeypatch.setattr(files, "exchange", lambda a, b: False)
    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(OSError, match="Input/output"), atomic_directory(target):
        pass
    assert [p.name for p in tmp_path.iterdir()] == ["z"]
    assert [p.name for p in target.iterdir()] == ["old"]
