"""What each kind of source promises beyond the contract, and what it refuses."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jessl
from helpers.source_samples import mnist, picture, png
from jessl.core.image_grid import write_grid
from jessl.data import UnreadableImage, open_source

GOOD = np.zeros((3, 4, 5), dtype=np.uint8)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (GOOD.astype(np.float32), r"uint16 images, got float32 \[3, 4, 5\]; .*255 \* x"),
        (GOOD.astype(np.int64), r"int64 .*astype\('uint8'\)"),
        (GOOD[0], r"got \[4, 5\]"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 13, 16, 16), np.uint8), r"transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 8, 8, 17), np.uint8), r"c 1\.\.16, got \[2, 8, 8, 17\]"),
        (GOOD[:0], r"no image in an array \[0, 4, 5\]"),
        ((GOOD, [1, 2]), "3 images but 2 labels"),
        ((GOOD, [0.5, 1, 2]), "got float64"),
        ((GOOD, [0, 1, -2]), "got -2"),
        ((GOOD, np.zeros((3, 2), int)), r"expected \[n\], got \[3, 2\]"),
        ("no/such/folder", "no file or folder no/such/folder; allowed: a folder of images"),
        ("", "got str"),
        (None, "got NoneType"),
        ("torchvision:CIFAR", "did you mean 'CIFAR10' or 'CIFAR100'"),
        ("torchvision:ImageFolder", "unknown data set"),
        ("torchvision:MNIST:val", "'val'.*Allowed: test, train"),
        ("torchvision:EMNIST", "needs one"),
        ("torchvision:Omniglot:train", "has no splits"),
        ("shard-{3..1}.tar", "expected 1..1000000 shards, got 0"),
        ("shard-{00..02}.tar", r"3 of 3 shards .* missing, the first is shard-00\.tar"),
    ],
)
def test_what_is_no_source_is_refused_in_one_line(spec: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        open_source(spec)
    assert "\n" not in str(caught.value)


def test_options_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="split: expected None but for torchvision: and hf:, got 'train'"
    ):
        open_source(GOOD, split="train")
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match=r"perhaps the folder .*train\?"):
        open_source(tmp_path, split="train")
    with pytest.raises(ValueError, match=r"expected None but for a \.npz file"):
        open_source("digits", y_key="y")
    with pytest.raises(ValueError, match="names another split than 'test'"):
        open_source("torchvision:MNIST:train", split="test")


def test_files_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, pictures=GOOD, classes=np.array([[2], [0], [1]]))
    with pytest.raises(ValueError, match=r"x_key: none of x, images, data, arr_0 .*pictures"):
        open_source(path)
    with pytest.raises(ValueError, match=r"no array 'nope' .* it holds pictures, classes"):
        open_source(path, x_key="nope")
    assert open_source(path, x_key="pictures").labels is None
    labels = open_source(path, x_key="pictures", y_key="classes").labels
    assert labels is not None
    assert labels.tolist() == [2, 0, 1]
    np.savez(path, x=GOOD, y=np.array([None, 1, 2]))
    with pytest.raises(ValueError, match="pickle"):
        open_source(path)
    np.save(tmp_path / "o.npy", np.array([{}]))
    with pytest.raises(ValueError, match="pickle"):
        open_source(tmp_path / "o.npy")
    for name in ("bad.npz", "bad.npy"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(ValueError, match=name):
            open_source(tmp_path / name)
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(ValueError, match="cannot tell what the file"):
        open_source(tmp_path / "x.txt")


def test_npy_stays_on_disk_and_is_never_written(tmp_path: Path) -> None:
    np.save(tmp_path / "set.npy", np.full((3, 4, 5, 1), 7, dtype=np.uint8))
    source = open_source(tmp_path / "set.npy")
    before = (tmp_path / "set.npy").read_bytes()
    base = source.read(0)
    while isinstance(base.base, np.ndarray):
        base = base.base
    assert isinstance(base, np.memmap)
    some = source.rows(np.array([0, 2]))
    assert some is not None
    some[0] = 0
    assert source.read(0).min() == 7
    assert (tmp_path / "set.npy").read_bytes() == before


def test_digits_are_the_scaled_originals() -> None:
    from sklearn.datasets import load_digits

    source = open_source("digits")
    assert len(source) == 1797
    assert source.classes == tuple("0123456789")
    images = source.rows(np.arange(1797))
    assert images is not None
    assert (images.min(), images.max()) == (0, 255)
    np.testing.assert_allclose(images[..., 0] * (16 / 255), load_digits().images, atol=0.5 / 15)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_are_read_drawn_and_refused_where_an_encoder_takes_three(
    channels: int, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, channels), dtype=np.uint8)
    np.savez(tmp_path / "set.npz", x=images)
    source = open_source(tmp_path / "set.npz")
    np.testing.assert_array_equal(source.read(3), images[3])
    assert source.rows(np.array([3, 1])).shape == (2, 8, 8, channels)
    write_grid(tmp_path / "grid.png", [[images[0]]], cell_px=8)
    with Image.open(tmp_path / "grid.png") as drawn:
        cell = np.asarray(drawn)[4:12, 4:12]
    np.testing.assert_array_equal(cell, images[0, :, :, [0, 0, 0] if channels == 2 else [0, 1, 2]]
                                  .transpose(1, 2, 0))  # fmt: skip

    data = str(tmp_path / "set.npz")
    with pytest.raises(ValueError, match=f"has images of {channels} bands; encoder .* takes 3 ch"):
        jessl.embed(jessl.build_encoder("smallconv:4"), data)


def test_folder_rules(tmp_path: Path) -> None:
    def labels_of(*names: str) -> object:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(png(0))
        return open_source(folder).classes

    assert labels_of("b/1.png", "a/1.JPG", ".git/x.png", "a/.DS_Store") == ("a", "b")
    assert labels_of("a/1.png", "a/2.png") is None
    assert labels_of("a/1.png", "b/1.png", "2.png") == ("a", "b")
    assert labels_of("a/1.png", "b/1.png", "2.png", "3.png", "4.png") is None
    assert labels_of("a/1.png", "b/c/1.png") is None
    assert labels_of("1.png", "2.png") is None


def test_what_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.npy").write_bytes(b"")

    def refuse(path: object, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("os.scandir", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    for path in (tmp_path, tmp_path / "x.npy"):
        with pytest.raises(ValueError, match=rf"data: {path} cannot be read: Permission denied"):
            open_source(path)


def test_folder_without_images_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"looked for jpg, .* it holds no file"):
        open_source(tmp_path)
    for name in ("a.txt", "b.txt", "c.svg", "README"):
        (tmp_path / name).write_text("x")
    with pytest.raises(ValueError, match=r"4 other files \(2 \.txt, 1 .*without extension"):
        open_source(tmp_path)


def test_a_stray_image_leaves_the_labels_of_the_others(tmp_path: Path) -> None:
    for i in range(6):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        (tmp_path / "ab"[i % 2] / f"{i}.png").write_bytes(png(i))
    assert open_source(tmp_path).notes == ()
    (tmp_path / "overview.png").write_bytes(png(0))
    (tmp_path / "a" / "deep").mkdir()
    (tmp_path / "a" / "deep" / "1.png").write_bytes(png(1))
    source = open_source(tmp_path)
    assert source.labels is not None
    assert source.labels.tolist() == [0, 0, 0, -1, 1, 1, 1, -1]
    assert source.classes == ("a", "b")
    [note] = source.notes
    assert "2 of 8 images do not lie in a class folder" in note
    assert "the first is a/deep/1.png; without label (-1)" in note
    # where most lie elsewhere the subfolders are no classes
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    source = open_source(tmp_path)
    assert source.labels is None
    [note] = source.notes
    assert "no labels, as 7 of 13 images do not lie" in note


def test_loops_of_links_end(tmp_path: Path) -> None:
    (tmp_path / "neighbour").mkdir()
    (tmp_path / "neighbour" / "n.png").write_bytes(png(1))
    root = tmp_path / "root"
    (root / "z").mkdir(parents=True)
    (root / "z" / "1.png").write_bytes(png(0))
    (root / "a_link").symlink_to(root / "z")
    (root / "z" / "up").symlink_to(root)
    (root / "around").symlink_to(tmp_path)
    (root / "dead.png").symlink_to(tmp_path / "nowhere.png")
    (root / "self.png").symlink_to(root / "self.png")
    (root / "beside").symlink_to(tmp_path / "neighbour")
    source = open_source(root)
    assert [source.key(i) for i in range(len(source))] == ["beside/n.png", "z/1.png"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are no UTF-8")
def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.png").write_bytes(png(0))
    source = open_source(tmp_path)
    assert source.where(0).endswith(r"caf\xe9.png")
    assert source.read(0).shape == (6, 9, 3)
    assert source.fingerprint() == open_source(tmp_path).fingerprint()


def test_a_missing_torchvision_set_that_cannot_be_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", offline)
    monkeypatch.setenv("JESSL_DATA", str(tmp_path / "here"))
    with pytest.raises(ValueError, match=r"torchvision:CIFAR10 is not in .*here.*no network"):
        open_source("torchvision:CIFAR10")


def test_torchvision_test_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist(tmp_path)
    monkeypatch.setenv("JESSL_DATA", str(tmp_path))
    source = open_source("torchvision:MNIST", split="test")
    assert len(source) == 3
    assert source.rows(np.array([0])) is not None
    assert source.classes is not None
    assert source.classes[0] == "0 - zero"


def test_hugging_face_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match="pip install datasets"):
        open_source("hf:mnist")


def test_hugging_face_rows() -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    from jessl.data.sources.hub_datasets import HuggingFaceSource

    images = [Image.fromarray(picture(i)) for i in range(2)]
    rows = datasets.Dataset.from_dict({"img": [*images, None], "label": [4, None, 1]})
    source = HuggingFaceSource(rows.cast_column("img", datasets.Image()), "hf:x:train")
    assert source.labels is not None
    assert source.labels.tolist() == [4, -1, 1]
    np.testing.assert_array_equal(source.read(1), picture(1))
    with pytest.raises(UnreadableImage, match="row 2 of hf:x:train: no image"):
        source.read(2)
