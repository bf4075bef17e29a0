"""Data sets of torch.utils.data as sources: what items may be, labels, threads, refusals."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset
from torchvision import transforms
from torchvision.datasets import FakeData, ImageFolder

from helpers.source_samples import N, picture, png
from jessl.data import Loader, Source, UnreadableImage, open_source
from jessl.data.sources.dataset import DatasetSource
from jessl.views import presets

PICTURES = np.stack([picture(i) for i in range(N)])
TENSORS = torch.from_numpy(PICTURES).permute(0, 3, 1, 2).contiguous()
LABELS = torch.arange(N) % 3


class Items(Dataset):
    """The items given, and a count of how often one was asked for."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.reads = 0

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        self.reads += 1
        if isinstance(self.items[index], Exception):
            raise self.items[index]
        return self.items[index]


class Listed(Items):
    """The same with a list of labels."""

    def __init__(self, items: list[Any], targets: Any, classes: Any = None) -> None:
        super().__init__(items)
        self.targets = targets
        self.classes = classes


def labels_of(source: Source) -> list[int] | None:
    return None if source.labels is None else source.labels.tolist()


def folder_of(path: Path) -> Path:
    for i in range(N):
        (path / "abc"[i % 3]).mkdir(parents=True, exist_ok=True)
        (path / "abc"[i % 3] / f"{i:02d}.png").write_bytes(png(i))
    return path


def in_tuples(images: Any) -> list[Any]:
    return [(image, int(label)) for image, label in zip(images, LABELS, strict=True)]


PILLOW = [Image.fromarray(image) for image in PICTURES]


@pytest.mark.parametrize(
    "items",
    [
        in_tuples(PILLOW),
        in_tuples(PICTURES),
        in_tuples(TENSORS),
        [list(item) for item in in_tuples(PICTURES)],
        [(image, torch.tensor(label), "more") for image, label in in_tuples(TENSORS)],
        *(
            [{image_key: image, label_key: label} for image, label in in_tuples(PILLOW)]
            for image_key, label_key in [
                ("image", "label"),
                ("img", "target"),
                ("pixel_values", "label"),
                ("x", "y"),
                (0, 1),
            ]
        ),
    ],
)
def test_kinds_of_items(items: list[Any]) -> None:
    source = open_source(Items(items))
    assert isinstance(source, DatasetSource)
    assert (source.name, len(source), source.where(3)) == ("Items", N, "item 3 of Items")
    assert source.ids.tolist() == list(range(N))
    for i in range(N):
        got = source.read(i)
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, PICTURES[i])
    assert labels_of(source) == LABELS.tolist()
    again = pickle.loads(pickle.dumps(source))
    assert again.fingerprint() == source.fingerprint()
    np.testing.assert_array_equal(again.read(1), PICTURES[1])


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_bare_images_of_any_number_of_channels(channels: int) -> None:
    arrays = np.random.default_rng(0).integers(0, 256, (3, 6, 9, channels), dtype=np.uint8)
    for images in (arrays, torch.from_numpy(arrays).permute(0, 3, 1, 2)):
        source = open_source(Items(list(images)))
        np.testing.assert_array_equal(source.read(2), arrays[2])
        assert source.labels is None
        assert source.classes is None
    if channels == 1:
        for images in (arrays[..., 0], torch.from_numpy(arrays[..., 0])):
            assert open_source(Items(list(images))).read(0).shape == (6, 9, 1)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_totensor_is_undone_to_the_bit(dtype: torch.dtype) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    images = [np.stack([pixels, pixels.T, 255 - pixels], axis=2)] * 2
    floats = [transforms.ToTensor()(image).to(dtype) for image in images]
    source = open_source(Items(floats))
    np.testing.assert_array_equal(source.read(1), images[1])
    assert any("round(255 x)" in note for note in source.notes)
    assert not any("round(255 x)" in note for note in open_source(Items(images)).notes)


def test_torchs_own_wrappers(tmp_path: Path) -> None:
    tensors = open_source(TensorDataset(TENSORS, LABELS))
    np.testing.assert_array_equal(tensors.read(4), PICTURES[4])
    assert labels_of(tensors) == LABELS.tolist()
    assert tensors.notes == ()

    whole = ImageFolder(str(folder_of(tmp_path)))
    source = open_source(whole)
    assert labels_of(source) == whole.targets == sorted(whole.targets)
    assert source.classes == ("a", "b", "c")
    assert source.notes == ()

    part = open_source(Subset(whole, [11, 0, 5]))
    assert labels_of(part) == [2, 0, 1]
    assert part.classes == ("a", "b", "c")
    np.testing.assert_array_equal(part.read(0), source.read(11))

    both = open_source(ConcatDataset([Subset(whole, [4, 8]), TensorDataset(TENSORS, LABELS)]))
    assert labels_of(both) == [1, 2, *LABELS.tolist()]
    np.testing.assert_array_equal(both.read(5), PICTURES[3])


def test_labels_are_read_once_and_only_when_asked_for() -> None:
    dataset = Items([*in_tuples(PICTURES)])
    source = open_source(dataset)
    before = dataset.reads
    assert before <= 6
    assert any(f"all {N} items are gone through" in note for note in source.notes)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: labels_of(source), range(8)))
    assert found == [LABELS.tolist()] * 8
    assert dataset.reads == before + N

    listed = Listed(in_tuples(PICTURES), LABELS.tolist(), ["x", "y", "z"])
    source = open_source(listed)
    before = listed.reads
    assert labels_of(source) == LABELS.tolist()
    assert source.classes == ("x", "y", "z")
    assert listed.reads == before + N  # its list may not be that of its items


class Doubled(ImageFolder):
    """With its own `__getitem__`, which changes some labels."""

    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        return image, 2 * label if index == 5 else label


class Shifted(Subset):
    """A part with a transform of its own."""

    def __getitem__(self, index: int) -> Any:
        image, label = super().__getitem__(index)
        return image, label + (index == 1)

    def __getitems__(self, indices: list[int]) -> list[Any]:
        return [self[index] for index in indices]


class Wrapped:
    """Another data set behind all its attributes."""

    def __init__(self, inside: Any) -> None:
        self.inside = inside

    def __len__(self) -> int:
        return len(self.inside)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inside, name)

    def __getitem__(self, index: int) -> Any:
        image, label = self.inside[index]
        return image, 0 if index == 7 else label


@pytest.mark.parametrize(
    "change",
    [
        lambda root: ImageFolder(root, target_transform=lambda c: 1 if c == 2 else c),
        lambda root: ImageFolder(root, target_transform=lambda c: -1 if c == 1 else c),
        Doubled,
        lambda root: Shifted(ImageFolder(root), range(N)),
        lambda root: Wrapped(ImageFolder(root)),
    ],
)
@pytest.mark.parametrize(
    "wrap",
    [
        lambda whole: whole,
        lambda whole: Subset(whole, [11, 0, 5, 7, 1]),
        lambda whole: ConcatDataset([whole, whole]),
        lambda whole: Subset(ConcatDataset([whole, whole]), [-1, 3, 5, 7, 13]),
    ],
)
def test_every_label_is_that_of_its_item(change: Any, wrap: Any, tmp_path: Path) -> None:
    dataset = wrap(change(str(folder_of(tmp_path))))
    given = [int(dataset[i][1]) for i in range(len(dataset))]
    source = open_source(dataset)
    assert labels_of(source) == given
    assert any("are gone through once" in note for note in source.notes)


def test_class_names_of_changed_labels_are_left_out(tmp_path: Path) -> None:
    root = str(folder_of(tmp_path))
    same = open_source(ImageFolder(root, target_transform=lambda c: c))
    assert same.classes == ("a", "b", "c")
    other = open_source(ImageFolder(root, target_transform=lambda c: (c + 1) % 3))
    assert other.classes is None
    assert any("class names are left out" in note for note in other.notes)
    # items come from samples, whatever was written into targets
    whole = ImageFolder(root)
    whole.targets = [0] * N
    assert labels_of(open_source(whole)) == [label for _, label in whole.samples]


def test_labels_that_are_missing_in_all_items_tried() -> None:
    items: list[Any] = [(image, None) for image in PICTURES]
    items[1] = (PICTURES[1], 4)
    assert labels_of(open_source(Items(items))) == [-1, 4] + [-1] * (N - 2)


@pytest.mark.parametrize("targets", [(5 - LABELS).tolist(), [0, 1], None, ["a"] * N])
def test_a_list_that_disagrees_with_the_items_is_no_list_of_labels(targets: Any) -> None:
    assert labels_of(open_source(Listed(in_tuples(PICTURES), targets))) == LABELS.tolist()


def test_missing_and_other_labels() -> None:
    some = [(image, None if i == 1 else i) for i, image in enumerate(PICTURES)]
    assert labels_of(open_source(Items(some))) == [0, -1, *range(2, N)]
    assert open_source(Items([(image, -1) for image in PICTURES])).labels is None
    others = open_source(Items([(image, 0.5) for image in PICTURES]))
    assert others.labels is None
    left_out = "labels are left out: expected integers or texts, got float"
    assert any(left_out in note for note in others.notes)
    odd = [(image, 0) for image in PICTURES]
    odd[1] = (PICTURES[1], -7)
    for dataset in (Items(odd), Listed(odd, [label for _, label in odd])):
        with pytest.raises(ValueError, match=r"labels: item 1 of .*: expected 0, 1, .* got -7"):
            _ = open_source(dataset).labels


def test_items_that_raise_are_unreadable_and_the_loader_goes_on() -> None:
    items: list[Any] = in_tuples(PICTURES)
    items[0] = RuntimeError("two\nlines")
    items[3] = (None, 1)
    items[5] = (PICTURES[5].astype(np.float32), 2)
    source = open_source(Items(items))
    with pytest.raises(UnreadableImage, match="item 0 of Items: RuntimeError: two lines"):
        source.read(0)
    with pytest.raises(UnreadableImage, match="item 3 of Items: None in the place"):
        source.read(3)
    with pytest.raises(UnreadableImage, match=r"item 5 of Items: .* got floats \d+\.\.2\d\d"):
        source.read(5)
    assert labels_of(source) == [-1, 1, 2, -1, *LABELS[4:].tolist()]
    loader = Loader(source, presets.simclr(8), 4, shuffle=False, unreadable="drop", workers=2)
    assert [i for batch in loader for i in batch.ids.tolist()] == [1, 2, 4, *range(6, N)]
    assert set(loader.skipped) == {f"item {i} of Items" for i in (0, 3, 5)}
    with pytest.raises(ValueError, match="4 items tried, none can be read: item 0 of Items: Key"):
        open_source(Items([KeyError("x")] * 9))


class Endless(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        return iter(in_tuples(PICTURES))


class Unending(Dataset):
    def __getitem__(self, index: int) -> Any:
        return PICTURES[0]


FLOATS = TENSORS.float()


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        (Endless(), "Endless: expected a map-style .* got an IterableDataset"),
        (Unending(), "Unending: expected a map-style .* without a length"),
        (Items([]), "no image in Items"),
        (Items([FLOATS[0] / 127 - 1]), r"item 0 of Items: .*floats -1\.\..* take Normalize out of"),
        (Items([FLOATS[0]]), r"got floats 0\.\.2\d\d; make values 0\.\.255 uint8"),
        (Items([FLOATS[0] * torch.nan]), r"floats nan\.\.nan"),
        (Items([TENSORS[0].long()]), r"expected uint8.* got torch.int64 \[3, 6, 9\]"),
        (Items([PICTURES[0].astype(bool)]), r"expected uint8.* got bool \[6, 9, 3\]"),
        (Items([TENSORS[0].numpy()]), r"\[h, w, c\] with c 1\.\.4, got uint8 \[3, 6, 9\]"),
        (Items([torch.from_numpy(PICTURES[0])]), r"\[c, h, w\] with c 1\.\.4, got"),
        (Items([TENSORS]), r"got torch.uint8 \[12, 3, 6, 9\]"),
        (Items([PICTURES[0][:0]]), "expected an image with pixels"),
        (Items(["a.jpg"]), "expected a Pillow image, an array or a tensor, got str"),
        (Items([()]), "no image in an empty item"),
        (Items([{"pixels": 1, "mask": 2}]), "no image in a dict with pixels, mask.* under image"),
        (range(3), "item 0 of range: .* got int"),
        ({"x": PICTURES}, "expected .*map-style torch Dataset.* got dict"),
        ([PICTURES[0]], "got list"),
    ],
)  # fmt: skip
def test_what_is_refused(dataset: Any, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"^data: .*{reason}") as caught:
        open_source(dataset)
    assert "\n" not in str(caught.value)


class Busy(Items):
    """Notes whether two threads were ever in `__getitem__` at once."""

    inside = 0
    met = False

    def __getitem__(self, index: int) -> Any:
        self.inside += 1
        self.met = self.met or self.inside > 1
        time.sleep(0.002)
        self.inside -= 1
        return self.items[index]


def test_threads(tmp_path: Path) -> None:
    def met(source: DatasetSource, dataset: Busy) -> bool:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(source.read, [*range(N)] * 4))
        return dataset.met

    alone, together = Busy(in_tuples(PICTURES)), Busy(in_tuples(PICTURES))
    source = open_source(alone)
    assert not met(source, alone)
    assert any("one thread at a time" in note for note in source.notes)
    free = DatasetSource(together, "mine", threads=True)
    assert met(free, together)
    again = pickle.loads(pickle.dumps(source))
    assert not met(again, again._dataset)
    assert not any("thread" in note for note in free.notes)
    assert free.where(0) == "item 0 of mine"

    def locked(dataset: Any, threads: bool | None = None) -> bool:
        return isinstance(DatasetSource(dataset, threads=threads)._reading, type(threading.Lock()))

    class Mine(ImageFolder):
        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index)

    files = folder_of(tmp_path)
    assert not locked(ImageFolder(str(files)))
    assert locked(Mine(str(files)))
    assert locked(ImageFolder(str(files)), threads=False)
    assert not locked(ConcatDataset([ImageFolder(str(files)), TensorDataset(TENSORS)]))
    assert locked(ConcatDataset([ImageFolder(str(files)), alone]))
    assert locked(FakeData(3))


def test_random_transforms_are_told() -> None:
    def told(dataset: Any) -> bool:
        return any("take random transforms out" in note for note in open_source(dataset).notes)

    assert told(FakeData(3, (3, 32, 32), transform=transforms.RandomCrop(8)))
    assert not told(FakeData(3, (3, 32, 32)))


def test_a_user_labels_them_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\n3,b\n1,a\n")
    source = open_source(Items(list(PICTURES)), labels=tmp_path / "labels.csv")
    assert labels_of(source) == [-1, 0, -1, 1] + [-1] * 8


def test_torch_is_not_imported_for_a_data_set_without_it() -> None:
    code = (
        "import sys, numpy as np\n"
        "from jessl.data import open_source\n"
        "class D:\n"
        "    def __len__(self): return 2\n"
        "    def __getitem__(self, i): return {'x': np.full((4, 5), i, np.uint8), 'y': i}\n"
        "source = open_source(D())\n"
        "print(source.read(1).shape, source.labels.tolist(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(4, 5, 1) [0, 1] False"
