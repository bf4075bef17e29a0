import json
import mmap as mmap_module
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from jessl.embeddings import Embeddings

X = np.random.default_rng(0).standard_normal((7, 3))
Y = [0, 1, -1, 2, 0, -1, 1]


def lies_on_disk(e):
    array = e.features
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap_module.mmap)


def test_what_comes_in_is_converted_and_frozen():
    e = Embeddings(X, Y, meta={"encoder": "resnet18"}, groups=np.array(Y, np.float32))
    assert (e.n, e.d, len(e)) == (7, 3, 7)
    assert e.features.dtype == np.float32
    assert e.features.flags.c_contiguous
    assert e.labels.dtype == e.ids.dtype == e.groups.dtype == np.int64
    assert e.ids.tolist() == list(range(7))
    for array in (e.features, e.labels, e.ids, e.groups):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5
    with pytest.raises(AttributeError):
        e.features = X
    e.meta["encoder"] = "other"
    assert e.meta == {"encoder": "resnet18"}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int32])
def test_tensors_of_any_type(dtype):
    t = torch.from_numpy(X * 4).to(dtype).requires_grad_(dtype.is_floating_point)
    e = Embeddings(t, torch.tensor(Y))
    np.testing.assert_array_equal(e.features, t.detach().float().numpy())
    assert e.labels.tolist() == Y


def test_the_callers_array_is_neither_copied_nor_frozen():
    mine = X.astype(np.float32)
    assert np.shares_memory(Embeddings(mine).features, mine)
    mine[0] = 1


def test_rows_are_chosen():
    e = Embeddings(X, Y, ids=np.arange(7) + 10, groups=[5, 5, 6, 6, -1, -3, 8])
    assert e.labelled().ids.tolist() == [10, 11, 13, 14, 16]
    assert e.labelled().groups.tolist() == [5, 5, 6, -1, 8]
    assert e.subset([3, -1]).ids.tolist() == [13, 16]
    assert e.subset(np.array(Y) == 0).labels.tolist() == [0, 0]
    assert len(e.subset([])) == 0
    assert len(Embeddings(X).labelled()) == 0
    with pytest.raises(ValueError, match=r"indices.*-7 \.\. 6.*7"):
        e.subset([7])
    with pytest.raises(ValueError, match="a mask of 7 entries"):
        e.subset([True])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"features": X[0]}, r"features.*\(3,\)"),
        ({"features": X[:, :0]}, "features"),
        ({"features": X.astype(complex)}, "complex128"),
        ({"features": [["a"]]}, "features"),
        ({"features": [[1], [2, 3]]}, "features"),
        ({"labels": [0, 1]}, r"labels.*\(7,\).*\(2,\)"),
        ({"labels": [-2, *Y[1:]]}, "labels.*-2"),
        ({"labels": [0.5] * 7}, "labels.*whole"),
        ({"labels": ["cat"] * 7}, "labels.*whole"),
        ({"ids": np.full(7, 2**63, np.uint64)}, "ids.*64 bits"),
        ({"groups": [0, 1]}, r"groups.*\(7,\).*\(2,\)"),
        ({"groups": [0.0] * 6 + [np.nan]}, "groups.*whole"),
        ({"groups": ["ann"] * 7}, "groups.*whole"),
        ({"meta": {"a": object()}}, "meta"),
        ({"meta": {"a": float("nan")}}, "meta"),
        ({"meta": "text"}, "meta"),
    ],
)
def test_mistakes_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        Embeddings(**{"features": X, **arguments})


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize(("labels", "groups"), [(None, None), (Y, None), (None, Y), (Y, Y[::-1])])
def test_save_and_load(tmp_path, mmap, labels, groups):
    meta = {"layer": "projector", "é": [1, None]}
    e = Embeddings(X, labels, np.arange(7) * 3, meta, groups)
    e.save(tmp_path / "emb")
    e.save(tmp_path / "emb")  # replaces
    back = Embeddings.load(tmp_path / "emb", mmap=mmap)
    np.testing.assert_array_equal(back.features, e.features)
    np.testing.assert_array_equal(back.ids, e.ids)
    assert (back.labels is None) if labels is None else back.labels.tolist() == labels
    assert (back.groups is None) if groups is None else back.groups.tolist() == groups
    assert back.meta == e.meta
    assert back.checksum() == e.checksum()
    assert lies_on_disk(back) is mmap
    assert [p.name for p in tmp_path.iterdir()] == ["emb"]


def test_a_folder_from_before_groups(tmp_path):
    Embeddings(X, Y).save(tmp_path / "emb")
    head = json.loads((tmp_path / "emb" / "meta.json").read_text())
    assert head.pop("groups") is False
    del head["files"], head["header_sha256"]  # nor were there these checksums
    (tmp_path / "emb" / "meta.json").write_text(json.dumps(head))
    back = Embeddings.load(tmp_path / "emb")
    assert (back.labels.tolist(), back.groups) == (Y, None)


def test_groups_go_when_embeddings_without_replace_them(tmp_path):
    Embeddings(X, groups=Y).save(tmp_path / "emb")
    Embeddings(X).save(tmp_path / "emb")
    assert Embeddings.load(tmp_path / "emb").groups is None
    assert not (tmp_path / "emb" / "groups.npy").exists()


def test_nothing_else_is_overwritten(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").write_text("years of work")
    (tmp_path / "file").write_text("")
    for name in ("home", "file"):
        with pytest.raises(ValueError, match="not replaced"):
            Embeddings(X).save(tmp_path / name)
    assert (tmp_path / "home" / "thesis.txt").exists()


def test_damage_is_named(tmp_path):
    def damaged(change):
        folder = tmp_path / f"emb{len(list(tmp_path.iterdir()))}"
        Embeddings(X, Y, groups=Y).save(folder)
        change(folder)
        with pytest.raises(ValueError, match=folder.name) as error:
            Embeddings.load(folder)
        return str(error.value)

    assert "features.npy" in damaged(lambda p: (p / "features.npy").unlink())
    assert "labels.npy" in damaged(lambda p: (p / "labels.npy").write_bytes(b""))
    assert "groups.npy" in damaged(lambda p: (p / "groups.npy").unlink())
    assert "groups" in damaged(lambda p: np.save(p / "groups.npy", Y[1:]))
    assert "meta.json" in damaged(lambda p: (p / "meta.json").unlink())
    assert "meta.json" in damaged(lambda p: (p / "meta.json").write_text("{"))

    def cut(p):
        data = (p / "features.npy").read_bytes()
        (p / "features.npy").write_bytes(data[:-4])

    def flip(p):
        data = bytearray((p / "features.npy").read_bytes())
        data[-1] ^= 1
        (p / "features.npy").write_bytes(data)

    def shorten(p):
        np.save(p / "features.npy", X[:6].astype(np.float32))

    assert "features.npy" in damaged(cut)
    assert "SHA-256" in damaged(flip)
    assert "(6,)" in damaged(shorten)


def test_bare_files(tmp_path):
    x = X.astype(np.float32)
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "b.npz", z=X, y=Y)
    np.savez_compressed(tmp_path / "c.npz", embeddings=X, labels=Y, ids=np.arange(7) + 1, groups=Y)
    tensors = {"features": torch.from_numpy(x).bfloat16(), "groups": torch.tensor(Y)}
    save_file(tensors, tmp_path / "d.safetensors")
    for name in ("a.npy", "b.npz", "c.npz"):
        np.testing.assert_array_equal(Embeddings.load(tmp_path / name).features, x)
    assert lies_on_disk(Embeddings.load(tmp_path / "a.npy", mmap=True))
    assert Embeddings.load(tmp_path / "b.npz").labels.tolist() == Y
    assert Embeddings.load(tmp_path / "b.npz").groups is None
    assert Embeddings.load(tmp_path / "c.npz").ids[0] == 1
    for name in ("c.npz", "d.safetensors"):
        assert Embeddings.load(tmp_path / name).groups.tolist() == Y
    np.testing.assert_allclose(
        Embeddings.load(tmp_path / "d.safetensors").features, x, rtol=1e-2, atol=1e-2
    )


def test_bad_bare_files(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((2, 3, 4)))
    np.save(tmp_path / "pickled.npy", np.array([{}], object), allow_pickle=True)
    np.savez(tmp_path / "other.npz", weights=X)
    for name in ("text.npy", "text.npz", "text.safetensors", "text.pt"):
        (tmp_path / name).write_text("hello, this is no array")
    np.savez(tmp_path / "cut.npz", z=X)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-30])
    for name in [p.name for p in tmp_path.iterdir()] + ["missing.npy"]:
        with pytest.raises(ValueError, match=name):
            Embeddings.load(tmp_path / name)


def test_import_is_cheap():
    code = "import sys, jessl.embeddings as e; import json; print(json.dumps(list(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert not {"torch", "sklearn", "scipy", "safetensors"} & set(json.loads(out.stdout))


FULL = """
import resource, sys
import numpy as np
from jessl import Embeddings
z = Embeddings(np.full((32, 32), 2.0))
most = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
try:
    z.save(sys.argv[1])
except OSError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("most", [100, 4000, 4100, 4223])
def test_a_file_without_its_end_never_replaces_embeddings(tmp_path: Path, most: int) -> None:
    """C's buffer of np.save lost up to 4,096 bytes at the end, without an error."""
    old = Embeddings(np.ones((32, 32)))
    old.save(tmp_path / "z")
    assert (tmp_path / "z" / "features.npy").stat().st_size == 4224
    command = [sys.executable, "-c", FULL, str(tmp_path / "z"), str(most)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert Embeddings.load(tmp_path / "z").checksum() == old.checksum()
    assert [p.name for p in tmp_path.iterdir()] == ["z"]
