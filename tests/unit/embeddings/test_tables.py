"""Embeddings as CSV and Parquet, and files of other tools whose columns have other names."""

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

from jessl.embeddings import Embeddings

X = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
NAMES = ["cat/1.png", "=1+1.png", 'dog/"ü", 2.png', "\udcff.png"]
FIRST = [*NAMES[:3], "x"]
LABELS = [1, 0, -1, 1]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("classes", [["cat", "=dog"], None])
def test_tables_hold_names_labels_and_all_digits(tmp_path, suffix, classes, capsys):
    z = Embeddings(X, LABELS, meta={"classes": classes}, names=NAMES)
    assert z.write_table(tmp_path / f"z{suffix}") == tmp_path / f"z{suffix}"
    back = Embeddings.load(tmp_path / f"z{suffix}")
    np.testing.assert_array_equal(back.features, X)
    assert list(back.names) == [*NAMES[:3], "\\xff.png"]
    if classes is None:
        assert back.labels.tolist() == LABELS
    else:
        known = back.meta["classes"]
        assert known == sorted(classes)
        assert [known[k] if k >= 0 else None for k in back.labels] == ["=dog", "cat", None, "=dog"]
    note = capsys.readouterr().err
    assert "note:" in note
    assert "features are 'f0', 'f1', 'f2', labels 'label', names 'name'" in note


def test_a_frame_has_the_same_columns(tmp_path):
    z = Embeddings(X, LABELS, meta={"classes": ["cat", "=dog"]}, names=FIRST)
    frame = z.to_pandas()
    assert list(frame.columns) == ["name", "label", "f0", "f1", "f2"]
    assert frame["label"].tolist()[:2] == ["=dog", "cat"]
    assert frame["label"].isna().tolist() == [False, False, True, False]
    np.testing.assert_array_equal(frame[["f0", "f1", "f2"]].to_numpy(), X)
    assert list(Embeddings(X).to_pandas().columns) == ["f0", "f1", "f2"]
    assert Embeddings(X, LABELS).to_pandas()["label"].dtype == "Int64"
    z.write_table(tmp_path / "z.parquet")
    pd.testing.assert_frame_equal(
        pd.read_parquet(tmp_path / "z.parquet")[["name", "f1"]], frame[["name", "f1"]]
    )


def test_columns_of_other_tools(tmp_path):
    frame = pd.DataFrame(X, columns=["emb_0", "emb_1", "emb_2"])
    frame.insert(0, "file", ["a", "b", "c", "d"])
    frame["kind"], frame["width"] = ["x", "y", "x", "y"], [1, 2, 3, 4]
    frame.to_csv(tmp_path / "z.csv", index=False)
    z = Embeddings.load(tmp_path / "z.csv")
    assert (z.d, list(z.names), z.labels) == (3, ["a", "b", "c", "d"], None)
    z = Embeddings.load(tmp_path / "z.csv", features_columns="emb_1:emb_2", label_column="kind")
    np.testing.assert_array_equal(z.features, X[:, 1:])
    assert (z.labels.tolist(), z.meta["classes"]) == ([0, 1, 0, 1], ["x", "y"])
    z = Embeddings.load(tmp_path / "z.csv", features_columns="width, emb_*")
    assert z.d == 4
    lists = pd.DataFrame({"embedding": list(X), "y": [0, 1, 0, 1], "path": ["a", "b", "c", "d"]})
    lists.to_parquet(tmp_path / "z.parquet")
    z = Embeddings.load(tmp_path / "z.parquet")
    np.testing.assert_array_equal(z.features, X)
    assert (z.labels.tolist(), list(z.names)) == ([0, 1, 0, 1], ["a", "b", "c", "d"])
    np.savez(
        tmp_path / "z.npz",
        clip=X,
        cls=np.array(["b", "a", "", "b"]),
        files=np.array(FIRST),
    )
    z = Embeddings.load(
        tmp_path / "z.npz", label_column="cls", name_column="files", features_columns="clip"
    )
    assert (z.labels.tolist(), z.meta["classes"]) == ([1, 0, -1, 1], ["a", "b"])
    assert list(z.names) == FIRST
    # an array of names that is no name of the rows
    np.savez(tmp_path / "z.npz", features=X, y=[0, 1, 0, 1], names=np.array(["cat", "dog"]))
    assert Embeddings.load(tmp_path / "z.npz").names is None
    save_file({"a": X, "b": X}, tmp_path / "z.safetensors")
    z = Embeddings.load(tmp_path / "z.safetensors", features_columns="b")
    np.testing.assert_array_equal(z.features, X)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, "the file is empty"),
        ("name,f0\n", {}, "no row below its header"),
        ("name,f0,f0\na,1,2\n", {}, "two columns are called 'f0'"),
        ("name,text\na,b\n", {}, "no column holds numbers"),
        ("name,f0,f1\na,1\n", {}, "line 2 has 2 cells, the header 3"),
        ("name,f0,f1\na,1,\nb,2,3\n", {}, "'f1' has empty cells"),
        ("a0,a1,b0,b1\n1,2,3,4\n", {}, "features may be 'a0', 'a1' or 'b0', 'b1'; say which"),
        ("name,path,f0\na,b,1\n", {}, "name-column: expected one of the columns 'name', 'path'"),
        ("name,label,f0\na,0.5,1\n", {}, "expected class names or whole numbers, got 0.5"),
        ("f0,f1\n1,2\n", {"label_column": "lable"}, "unknown column 'lable'"),
        ("f0,f1\n1,2\n", {"features_columns": "g*"}, "no column begins with 'g'"),
        ("f0,f1\n1,2\n", {"features_columns": "f1:f0"}, "'f0' is before 'f1'"),
        ("f0,f1\n1,2\n", {"features_columns": "f0:f7"}, "unknown column 'f7'"),
        ("f0,f1,t\n1,2,a\n", {"features_columns": "t"}, "expected columns of numbers, got 't'"),
        ("f0\n" + "1\n" * 300 + "a\n", {}, "a"),
    ],
)
def test_mistakes_are_one_line_naming_the_file(tmp_path, text, options, words):
    (tmp_path / "z.csv").write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        Embeddings.load(tmp_path / "z.csv", **options)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "z.csv"))


def test_files_that_are_no_tables(tmp_path):
    for name, data in (("a.csv", b"\xff\xfe\x00\x01"), ("a.parquet", b"PAR1 nothing")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=name) as caught:
            Embeddings.load(tmp_path / name)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"expected a \.csv or \.parquet file"):
        Embeddings(X).write_table(tmp_path / "z.txt")
    Embeddings(X).save(tmp_path / "z")
    with pytest.raises(ValueError, match="has no columns to choose"):
        Embeddings.load(tmp_path / "z", label_column="y")
    np.save(tmp_path / "z.npy", X)
    with pytest.raises(ValueError, match="has no columns"):
        Embeddings.load(tmp_path / "z.npy", features_columns="y")


def test_writing_is_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("jessl.embeddings._tables._ENTRIES", 30)
    x = np.random.default_rng(1).standard_normal((101, 3)).astype(np.float32)
    for name in ("z.csv", "z.parquet"):
        Embeddings(x, names=[str(k) for k in range(101)]).write_table(tmp_path / name)
        back = Embeddings.load(tmp_path / name)
        np.testing.assert_array_equal(back.features, x)
        assert list(back.names) == [str(k) for k in range(101)]
