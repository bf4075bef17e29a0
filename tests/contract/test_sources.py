"""One contract, run over every kind of source; then what each kind promises beyond it."""

from __future__ import annotations

import io
import json
import pickle
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jessl.data import Source, Subset, Unlabelled, UnreadableImage, open_source, split
from jessl.data.shards import ShardSource
from jessl.data.sources import hashed_ids

N = 12


def picture(i: int, height: int = 6, width: int = 9) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(i: int, height: int = 6, width: int = 9) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture(i, height, width)).save(file, "PNG")
    return file.getvalue()


def arrays(_: Path) -> Source:
    return open_source((np.stack([picture(i) for i in range(N)]), np.arange(N) % 3 - 1))


def npz(folder: Path) -> Source:
    path = folder / "set.npz"
    images = np.stack([picture(i)[:, :, 0] for i in range(N)])
    np.savez(path, images=images, labels=np.array(["cat", "", "dog"] * 4))
    return open_source(path)


def npy(folder: Path) -> Source:
    np.save(folder / "set.npy", np.stack([picture(i) for i in range(N)]))
    return open_source(str(folder / "set.npy"))


def flat(folder: Path) -> Source:
    for i in range(N):
        (folder / f"{i}.PNG").write_bytes(png(i, 4 + i))
    return open_source(folder)


def classes(folder: Path) -> Source:
    for i in range(N):
        (folder / "xyz"[i % 3]).mkdir(exist_ok=True)
        (folder / "xyz"[i % 3] / f"{i}.png").write_bytes(png(i))
    return open_source(folder)


def shards(folder: Path) -> Source:
    import webdataset

    for number in range(2):
        with webdataset.TarWriter(str(folder / f"set-{number:03d}.tar")) as sink:
            for i in range(number, N, 2):
                sink.write({"__key__": f"k{i:03d}", "png": png(i), "cls": i % 4})
    return open_source(str(folder / "set-{000..001}.tar"))


def mnist(folder: Path) -> Source:
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, n in (("train", N), ("t10k", 3)):
        images = np.stack([np.resize(picture(i), (28, 28)) for i in range(n)])
        labels = np.arange(n, dtype=np.uint8) % 10
        for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
            head = bytes([0, 0, 8, array.ndim]) + b"".join(
                k.to_bytes(4, "big") for k in array.shape
            )
            (raw / f"{name}-{kind}-ubyte").write_bytes(head + array.tobytes())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JESSL_DATA", str(folder))
        return open_source("torchvision:MNIST:train")


def items(_: Path) -> Source:
    from torchvision.datasets import FakeData

    from jessl.data.hubs import TorchvisionSource

    return TorchvisionSource(FakeData(size=N, image_size=(3, 6, 9), num_classes=3), "fake")


def relabelled(folder: Path) -> Source:
    (folder / "labels.csv").write_text("path,label\n3,b\n1,a\n0,\n")
    images = np.stack([picture(i) for i in range(N)])
    return open_source(images, labels=folder / "labels.csv")


KINDS: dict[str, Callable[[Path], Source]] = {
    "arrays": arrays,
    "npz": npz,
    "npy": npy,
    "digits": lambda _: open_source("digits"),
    "folder": flat,
    "class folders": classes,
    "shards": shards,
    "torchvision array": mnist,
    "torchvision items": items,
    "subset": lambda folder: Subset(classes(folder), [7, 2, 5]),
    "subset of array": lambda folder: Subset(arrays(folder), np.array([7, 2, 5])),
    "unlabelled": lambda folder: Unlabelled(classes(folder)),
    "relabelled": relabelled,
}


@pytest.mark.parametrize("kind", KINDS)
def test_contract(kind: str, tmp_path: Path) -> None:
    source = KINDS[kind](tmp_path)
    n = len(source)
    assert source.name
    assert source.ids.shape == (n,)
    assert source.ids.dtype == np.int64
    assert source.ids.min() >= 0
    assert len(np.unique(source.ids)) == n
    if source.labels is None:
        assert source.classes is None
    else:
        assert source.labels.shape == (n,)
        assert source.labels.dtype == np.int64
        assert source.labels.min() >= -1
        assert source.labels.max() >= 0
        assert source.classes is None or source.labels.max() < len(source.classes)
    few = range(min(n, N))
    images = [source.read(i) for i in few]
    for i, image in zip(few, images, strict=True):
        assert image.dtype == np.uint8
        assert image.ndim == 3
        assert image.shape[2] in (1, 3)
        assert image.flags.c_contiguous
        assert image.shape[:2] == source.size(i)
        assert source.where(i)
    assert len({source.key(i) for i in few}) == len(few)

    with ThreadPoolExecutor(8) as pool:
        for i, image in zip([*few] * 8, pool.map(source.read, [*few] * 8), strict=True):
            np.testing.assert_array_equal(image, images[i])

    heights, widths = source.sizes(5)
    assert heights.shape == widths.shape == (min(n, 5),)
    assert (heights[0], widths[0]) == images[0].shape[:2]
    assert (heights[-1], widths[-1]) == source.size(n - 1)

    whole = source.array()
    if whole is not None:
        assert whole.shape[0] == n
        np.testing.assert_array_equal(whole[: len(few)], np.stack(images))

    for again in (KINDS[kind](tmp_path), pickle.loads(pickle.dumps(source))):
        np.testing.assert_array_equal(again.ids, source.ids)
        np.testing.assert_array_equal(again.labels, source.labels)
        assert again.classes == source.classes
        assert again.fingerprint() == source.fingerprint()
        np.testing.assert_array_equal(again.read(1), images[1])


EXPECTED_LABELS = {
    "arrays": ([-1, 0, 1] * 4, None),
    "npz": ([0, -1, 1] * 4, ("cat", "dog")),
    "npy": (None, None),
    "folder": (None, None),
    "class folders": ([0] * 4 + [1] * 4 + [2] * 4, ("x", "y", "z")),
    "shards": ([0, 2] * 3 + [1, 3] * 3, None),
    "subset": ([1, 0, 1], ("x", "y", "z")),
    "unlabelled": (None, None),
    "relabelled": ([-1, 0, -1, 1] + [-1] * 8, ("a", "b")),
}


@pytest.mark.parametrize("kind", EXPECTED_LABELS)
def test_labels_of_each_kind(kind: str, tmp_path: Path) -> None:
    source = KINDS[kind](tmp_path)
    labels, names = EXPECTED_LABELS[kind]
    assert (None if source.labels is None else source.labels.tolist()) == labels
    assert source.classes == names


def test_importing_sources_imports_no_heavy_library() -> None:
    code = (
        "import sys, jessl.data.sources, jessl.data.hubs, jessl.data.shards, jessl.data.labels\n"
        "print([m for m in ('torch', 'torchvision', 'sklearn', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fingerprints_tell_sources_apart(tmp_path: Path) -> None:
    images = np.stack([picture(i) for i in range(N)])
    other = images.copy()
    other[5, 3, 2, 1] ^= 1
    labels = np.arange(N) % 2
    sources = [
        open_source(images),
        open_source(other),
        open_source((images, labels)),
        open_source((images, 1 - labels)),
        open_source(images[:-1]),
        Subset(open_source(images), [0, 1]),
        Subset(open_source(images), [1, 0]),
        Unlabelled(open_source((images, labels))),
        flat(tmp_path),
    ]
    (tmp_path / "0.PNG").write_bytes(png(0, 4, 40))
    sources.append(open_source(tmp_path))
    assert len({source.fingerprint() for source in sources}) == len(sources)


def test_split_is_exact_disjoint_and_blind_to_order() -> None:
    source = open_source(np.zeros((101, 2, 2), dtype=np.uint8))
    rest, part = split(source, 0.25, 7)
    assert (len(rest), len(part)) == (76, 25)
    assert sorted([*rest.ids, *part.ids]) == list(range(101))
    assert (np.diff(rest.indices) > 0).all()
    turned = Subset(source, np.random.default_rng(0).permutation(101))
    assert set(split(turned, 0.25, 7)[1].ids) == set(part.ids)
    assert set(split(source, 0.25, 8)[1].ids) != set(part.ids)
    # an image that joins may push one out of the part, and never more
    fewer = split(Subset(source, np.arange(100)), 0.25, 7)[1]
    assert len(set(fewer.ids) - set(part.ids)) <= 1
    assert [len(s) for s in split(source, 0, -1)] == [101, 0]
    with pytest.raises(ValueError, match=r"share: 0\.\.1 is allowed, 1\.5 came"):
        split(source, 1.5, 0)


def test_split_draws_evenly() -> None:
    source = open_source(np.zeros((4000, 1, 1), dtype=np.uint8))
    drawn = np.array([split(source, 0.5, seed)[1].ids.sum() for seed in range(40)])
    # the mean of 2,000 of 0..3999 without repetition has a standard deviation of 18.3
    assert abs(drawn.mean() / 2000 - 1999.5) < 4 * 18.3 / 40**0.5
    assert 12 < (drawn / 2000).std() < 25


@pytest.mark.parametrize(
    ("indices", "reason"),
    [([0, 12], "0..11 are allowed"), ([1, 1], "at most once"), ([0.5], "integers")],
)
def test_subset_refuses(indices: list[float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Subset(open_source(np.zeros((N, 2, 2), dtype=np.uint8)), indices)


def test_ids_are_the_documented_hash() -> None:
    import hashlib

    digest = hashlib.blake2b(b"a/b.jpg", digest_size=8).digest()
    assert hashed_ids(["a/b.jpg"], "x")[0] == int.from_bytes(digest, "little") // 2
    with pytest.raises(ValueError, match="'k' and 'k' have the same id"):
        hashed_ids(["k", "k"], "x")


GOOD = np.zeros((3, 4, 5), dtype=np.uint8)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (GOOD.astype(np.float32), r"uint8, float32 \[3, 4, 5\] came; .*255 \* x"),
        (GOOD.astype(np.int64), r"int64 .*astype\('uint8'\)"),
        (GOOD[0], r"\[4, 5\] came"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"transpose\(0, 2, 3, 1\)"),
        (np.zeros((2, 8, 8, 4), np.uint8), r"\[2, 8, 8, 4\] came"),
        (GOOD[:0], r"no image in an array \[0, 4, 5\]"),
        ((GOOD, [1, 2]), "3 images but 2 labels"),
        ((GOOD, [0.5, 1, 2]), "float64 came"),
        ((GOOD, [0, 1, -2]), "-2 came"),
        ((GOOD, np.zeros((3, 2), int)), r"\[n\] wanted, \[3, 2\] came"),
        ("no/such/folder", "no file or folder no/such/folder; allowed: a folder of images"),
        ("", "str came"),
        (None, "NoneType came"),
        ("torchvision:CIFAR", "did you mean 'CIFAR10' or 'CIFAR100'"),
        ("torchvision:ImageFolder", "unknown data set"),
        ("torchvision:MNIST:val", "'val'.*Allowed: test, train"),
        ("torchvision:EMNIST", "needs one"),
        ("torchvision:Omniglot:train", "has no splits"),
        ("shard-{3..1}.tar", "stands for 0 shards"),
        ("shard-{00..02}.tar", r"3 of 3 shards .* missing, the first is shard-00\.tar"),
    ],
)
def test_what_is_no_source_is_refused_in_one_line(spec: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        open_source(spec)
    assert "\n" not in str(caught.value)


def test_options_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="split: only for torchvision: and hf:, 'train' came"):
        open_source(GOOD, split="train")
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match=r"perhaps the folder .*train\?"):
        open_source(tmp_path, split="train")
    with pytest.raises(ValueError, match=r"only for a \.npz file"):
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
    source = npy(tmp_path)
    before = (tmp_path / "set.npy").read_bytes()
    whole = source.array()
    assert whole is not None
    assert isinstance(whole.base, np.memmap)
    whole[0] = 0
    assert (tmp_path / "set.npy").read_bytes() == before


def test_digits_are_the_scaled_originals() -> None:
    from sklearn.datasets import load_digits

    source = open_source("digits")
    assert len(source) == 1797
    assert source.classes == tuple("0123456789")
    images = source.array()
    assert images is not None
    assert (images.min(), images.max()) == (0, 255)
    np.testing.assert_allclose(images[..., 0] * (16 / 255), load_digits().images, atol=0.5 / 15)


def test_folder_rules(tmp_path: Path) -> None:
    def labels_of(*names: str) -> object:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(png(0))
        return open_source(folder).classes

    assert labels_of("b/1.png", "a/1.JPG", ".git/x.png", "a/.DS_Store") == ("a", "b")
    assert labels_of("a/1.png", "a/2.png") is None
    assert labels_of("a/1.png", "b/1.png", "2.png") is None
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


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as file:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return path


def test_shard_labels(tmp_path: Path) -> None:
    members = {}
    for i, (kind, text) in enumerate(
        [
            ("json", json.dumps({"label": "cat", "caption": "x"})),
            ("cls", "dog"),
            ("txt", "cat\n"),
            ("json", '"dog"'),
            ("json", '{"caption": "no label here"}'),
            ("seg.png", "not the image"),
        ]
    ):
        members[f"{i}.{kind}"] = text.encode()
        members[f"{i}.png"] = png(i)
    source = open_source(tar(tmp_path / "x.tar", members))
    assert source.classes == ("cat", "dog")
    assert source.labels is not None
    assert source.labels.tolist() == [0, 1, 0, 1, -1, -1]
    captions = {f"{i}.{kind}": png(i) if kind == "png" else b"caption %d" % i
                for i in range(5) for kind in ("png", "txt")}  # fmt: skip
    source = open_source(tar(tmp_path / "y.tar", captions))
    assert source.labels is None
    assert "captions" in source.notes[0]


def test_shards_of_webdataset_with_jpg_and_webp(tmp_path: Path) -> None:
    import webdataset
    from webdataset import tariterators

    path = tmp_path / "x.tar"
    with webdataset.TarWriter(str(path)) as sink:
        for i, kind in enumerate(["jpg", "webp", "png"]):
            data = io.BytesIO()
            Image.fromarray(picture(i)).save(data, "JPEG" if kind == "jpg" else kind)
            sink.write({"__key__": f"deep/er/{i}", kind: data.getvalue(), "json": {"cls": i}})
    source = open_source(tmp_path)
    with path.open("rb") as file:
        theirs = [*tariterators.group_by_keys(tariterators.tar_file_iterator(file))]
    assert [source.key(i) for i in range(3)] == [sample["__key__"] for sample in theirs]
    assert source.key(1) == "deep/er/1"
    assert source.labels is not None
    assert source.labels.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(source.read(2), picture(2))
    assert source.where(1) == f"deep/er/1 in {path}"


def test_members_are_only_keys(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    evil = {"../../evil.png": png(0), "/abs/evil.png": png(1)}
    source = open_source(tar(inner / "x.tar", evil))
    assert [source.read(i).shape for i in range(2)] == [(6, 9, 3)] * 2
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a", "b", "x.tar"]
    assert not Path("/abs").exists()


def test_same_keys_in_two_shards(tmp_path: Path) -> None:
    paths = [tar(tmp_path / f"{i}.tar", {"k.png": png(i)}) for i in range(2)]
    source = open_source(tmp_path)
    assert [source.key(i) for i in range(2)] == ["0.tar/k", "1.tar/k"]
    np.testing.assert_array_equal(source.read(1), picture(1))
    with tarfile.open(paths[0], "a") as file:
        for name in ("other.png", "k.png"):
            file.addfile(tarfile.TarInfo(name))
    with pytest.raises(ValueError, match="key 'k' comes twice"):
        open_source(tmp_path)


def test_torn_and_damaged_shards(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {f"{i}.png": png(i, 20) for i in range(4)})
    whole = path.read_bytes()
    with tarfile.open(path) as file:
        third = file.getmembers()[2]
    for cut, kept, reason in [
        (third.offset_data + 100, 2, "torn: 2.png has 100 of"),
        (third.offset + 100, 2, "torn after byte"),
        (third.offset, 2, "no end mark"),
    ]:
        path.write_bytes(whole[:cut])
        source = ShardSource([path])
        assert len(source) == kept
        assert len(source.skipped) == 1
        assert reason in source.skipped[0]
        assert source.notes == source.skipped
        np.testing.assert_array_equal(source.read(1), picture(1, 20))
    damaged = bytearray(whole)
    damaged[third.offset : third.offset + 512] = b"\x7f" * 512
    path.write_bytes(damaged)
    source = ShardSource([path])
    assert len(source) == 2
    assert "damaged at byte" in source.skipped[0]
    path.write_bytes(whole)
    source = ShardSource([path])
    assert source.skipped == ()
    path.write_bytes(whole[: third.offset_data])
    with pytest.raises(UnreadableImage, match="shrunk"):
        source.read(2)
    path.unlink()
    with pytest.raises(UnreadableImage, match="No such file"):
        source.read(0)


def test_shards_that_are_refused(tmp_path: Path) -> None:
    for name, mode in (("x.tar.gz", "w:gz"), ("y.tar", "w:gz")):
        with tarfile.open(tmp_path / name, mode) as file:
            file.addfile(tarfile.TarInfo("a.png"))
        with pytest.raises(ValueError, match=rf"{name} is compressed"):
            open_source(tmp_path / name)
        (tmp_path / name).unlink()
    (tmp_path / "z.tar").write_bytes(b"no tar at all" * 100)
    with pytest.raises(ValueError, match=r"z\.tar is not a tar file"):
        open_source(tmp_path)
    tar(tmp_path / "z.tar", {"a.txt": b"x"})
    with pytest.raises(ValueError, match=r"no image in .*1 samples without an image"):
        open_source(tmp_path)


def test_a_folder_with_images_and_tars_is_a_folder_of_images(tmp_path: Path) -> None:
    tar(tmp_path / "x.tar", {"a.png": png(0), "b.png": png(1)})
    assert len(open_source(tmp_path)) == 2
    (tmp_path / "c.png").write_bytes(png(2))
    assert len(open_source(tmp_path)) == 1


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
    assert source.array() is not None
    assert source.classes is not None
    assert source.classes[0] == "0 - zero"


def test_hugging_face_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ValueError, match="pip install datasets"):
        open_source("hf:mnist")


def test_hugging_face_rows() -> None:
    datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")
    from jessl.data.hubs import HuggingFaceSource

    images = [Image.fromarray(picture(i)) for i in range(2)]
    rows = datasets.Dataset.from_dict({"img": [*images, None], "label": [4, None, 1]})
    source = HuggingFaceSource(rows.cast_column("img", datasets.Image()), "hf:x:train")
    assert source.labels is not None
    assert source.labels.tolist() == [4, -1, 1]
    np.testing.assert_array_equal(source.read(1), picture(1))
    with pytest.raises(UnreadableImage, match="row 2 of hf:x:train: no image"):
        source.read(2)
