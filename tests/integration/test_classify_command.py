"""`jessl classify` from a folder of images and a few labels to files, and back."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import jessl
from jessl.cli import main

X, Y = load_digits(return_X_y=True)
ROWS = np.random.default_rng(0).permutation(len(Y))[:240]
LABELLED = ROWS[:100]
ENCODER = "ckpt:net.pt@smallconv:8"


def write_labels(name: str, rows: list[tuple[str, str]]) -> None:
    with open(name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows(rows)


def several(label: int) -> str:
    return ";".join(["even" if label % 2 == 0 else "odd", *(["big"] if label > 4 else [])])


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of digits, labels of some of them, and embeddings in the cache."""
    folder = tmp_path_factory.mktemp("classify")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for i in ROWS:
            place = Path("photos") / f"{i}.png"
            place.parent.mkdir(exist_ok=True)
            Image.fromarray((X[i].reshape(8, 8) * 15).astype(np.uint8)).save(place)
        Path(f"photos/{ROWS[-1]}.png").write_bytes(b"no image")
        torch.manual_seed(0)
        net = jessl.build_encoder("smallconv:8", size=8, pretrained=False)
        torch.save(net.state_dict(), "net.pt")
        torch.manual_seed(1)
        other = jessl.build_encoder("smallconv:8", size=8, pretrained=False)
        torch.save(other.state_dict(), "other.pt")
        write_labels("few.csv", [(f"{i}.png", f"digit <{Y[i]}>") for i in LABELLED])
        write_labels("several.csv", [(f"{i}.png", several(Y[i])) for i in LABELLED])
        write_labels("ink.csv", [(f"{i}.png", f"{X[i].mean():.3f}") for i in LABELLED])
        arguments = ["--encoder", ENCODER, "--labels", "few.csv", "--out", "first/p.csv"]
        assert main(["classify", "--data", "photos", *arguments, "--max-error", "0.4"]) == 0
    return folder


@pytest.fixture
def here(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(workplace)
    for name in ("out", "other", "again"):
        shutil.rmtree(name, ignore_errors=True)
    return workplace


def classify(*arguments: str, encoder: str | None = ENCODER) -> int:
    chosen = [] if encoder is None else ["--encoder", encoder]
    cache = ["--cache", "first/classify-cache"]
    return main(["classify", "--data", "photos", *chosen, *cache, *arguments])


def rows_of(file: str) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as content:
        return list(csv.DictReader(content))


def test_predictions_hold_every_other_image(here: Path) -> None:
    rows = rows_of("first/p.csv")
    expected = {f"{i}.png" for i in ROWS[100:-1]}
    assert {row["name"] for row in rows} == expected
    columns = "name label probability second second_probability distance far abstain"
    assert list(rows[0]) == columns.split()
    right = [row["label"] == f"digit <{Y[int(row['name'][:-4])]}>" for row in rows]
    assert np.mean(right) > 0.5
    assert {row["abstain"] for row in rows} <= {"true", "false"}
    page = Path("first/p.html").read_text()
    assert "digit &lt;3&gt;" in page
    assert "<3>" not in page
    assert "Expected accuracy" in page
    assert "http" not in page.replace("http-equiv", "")


def test_the_accuracy_is_announced_first(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert classify("--labels", "few.csv", "--out", "out/p.csv", "--json", "--no-page") == 0
    captured = capsys.readouterr()
    assert "Expected accuracy" in captured.err
    result = json.loads(captured.out)
    assert result["page"] is None
    assert result["predicted"] == 139
    assert result["labelled"] == 100
    assert len(result["unreadable"]) == 1
    low, high = result["expected"]["low"], result["expected"]["high"]
    right = [row["label"] == f"digit <{Y[int(row['name'][:-4])]}>" for row in rows_of("out/p.csv")]
    assert low < np.mean(right) < high
    assert not Path("out/p.html").exists()


def test_two_classifications_share_a_folder(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("p", "q"):
        out = f"out/{name}.csv"
        assert classify("--labels", "few.csv", "--out", out, "--no-page") == 0
        said = capsys.readouterr().out
        assert f"jessl classify --classifier out/{name}-classifier --data OTHERS" in said
    Path("out/q.csv").unlink()
    assert classify("--labels", "few.csv", "--out", "out/q.csv", "--no-page") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.endswith("out: out/q-classifier exists; remove it, or give --out another name")


def test_a_classifier_is_used_again_and_refused_elsewhere(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["--classifier", "first/p-classifier", "--out", "again/p.csv", "--no-page"]
    assert classify(*again, encoder=None) == 0
    rows = {row["name"]: row for row in rows_of("again/p.csv")}
    assert len(rows) == 239
    for row in rows_of("first/p.csv"):
        assert rows[row["name"]] == row
    assert not Path("again/p-classifier").exists()
    shutil.rmtree("again")
    capsys.readouterr()
    assert classify(*again, encoder="ckpt:other.pt@smallconv:8") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "was fitted on features of ckpt:net.pt@smallconv:8 with the weights" in error
    assert not Path("again").exists()
    assert classify(*again, "--labels", "few.csv", encoder=None) == 2
    assert "expected nothing beside a classifier" in capsys.readouterr().err


@pytest.mark.parametrize("task", ["several", "ink"])
def test_other_tasks_are_fitted_and_used_again(
    here: Path, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = {"several": "--multi-label", "ink": "--regression"}[task]
    assert classify("--labels", f"{task}.csv", flag, "--out", "out/p.csv") == 0
    assert "Expected" in capsys.readouterr().err
    # the map draws numbers as numbers
    page = Path("out/p.html").read_text(encoding="utf-8")
    drawn = json.loads(page.split('<script type="application/json">')[1].split("</script>")[0])
    kinds = {colour["name"]: "values" in colour for colour in drawn["colours"]}
    assert kinds.pop("label") == kinds.pop("prediction") == (task == "ink")
    assert ("sureness" in kinds) == (task == "several")
    rows = rows_of("out/p.csv")
    numbers = [int(row["name"][:-4]) for row in rows]
    if task == "several":
        assert list(rows[0]) == ["name", "labels", "p big", "p even", "p odd", "distance", "far"]
        sets = [set(row["labels"].split(";")) for row in rows]
        assert (
            np.mean([("even" in s) == (Y[i] % 2 == 0) for s, i in zip(sets, numbers, strict=True)])
            > 0.6
        )
    else:
        true = np.array([X[i].mean() for i in numbers])
        value, low, high = (
            np.array([float(row[name]) for row in rows]) for name in ("value", "low", "high")
        )
        assert np.abs(value - true).mean() < 0.75 * np.std(true)
        assert ((low <= true) & (true <= high)).mean() > 0.8
    again = ["--classifier", "out/p-classifier", "--out", "again/p.csv"]
    assert classify(*again, encoder=None) == 0
    known = {row["name"]: row for row in rows_of("again/p.csv")}
    assert all(known[row["name"]] == row for row in rows)


def test_images_that_all_have_labels_give_a_classifier_for_others(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folders of classes, and the images to predict elsewhere: two commands, the first of which
    predicts nothing.
    """
    other_labels("all.csv")
    assert classify("--labels", "all.csv", "--out", "out/p.csv") == 0
    text = capsys.readouterr().out
    assert text.startswith("All 239 images have a label: a classifier for others is fitted; ")
    assert "next      jessl classify --classifier out/p-classifier --data OTHERS" in text
    assert [path.name for path in Path("out").iterdir()] == ["p-classifier"]
    again = ["--classifier", "out/p-classifier", "--out", "again/p.csv"]
    assert classify(*again, encoder=None) == 0
    assert len(rows_of("again/p.csv")) == 239


def other_labels(name: str) -> None:
    """The files of labels that are refused."""
    good = [(f"{i}.png", f"d{Y[i]}") for i in LABELLED]
    files = {
        "missing.csv": [*good, ("nope.png", "d1"), ("x.png", "d2")],
        "one.csv": [(path, "cat") for path, _ in good],
        "case.csv": [(path, ("Cat", "cat", "dog")[k % 3]) for k, (path, _) in enumerate(good)],
        "blank.csv": [(path, ("a  b", "a b")[k % 2]) for k, (path, _) in enumerate(good)],
        "head.csv": [],
        "text.csv": [(path, "1.5" if k else "x") for k, (path, _) in enumerate(good)],
        "all.csv": [(f"{i}.png", f"d{Y[i]}") for i in ROWS],
    }
    if name in files:
        write_labels(name, files[name])
    Path("empty.csv").write_text("")
    Path("columns.csv").write_text("file,kind\na.png,cat\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--labels", "missing.csv"], "2 of 102 images are not in photos, the first is 'nope.png'"),
        (["--labels", "one.csv"], "at least two classes, got 'cat' for all 100 images"),
        (["--labels", "case.csv"], r"'Cat' (34 images) and 'cat' (33) differ only by case"),
        (["--labels", "blank.csv"], "'a␣␣b' (50 images) and 'a␣b' (50) differ only by"),
        (["--labels", "empty.csv"], "expected a header with the columns path and label"),
        (["--labels", "columns.csv"], "expected a header with the columns path and label"),
        (["--labels", "head.csv"], "it has no row below the header"),
        (["--labels", "gone.csv"], "no file gone.csv"),
        (["--labels", "several.csv"], "add --multi-label"),
        (["--labels", "ink.csv"], "add --regression"),
        (["--labels", "text.csv", "--regression"], "expected numbers for --regression, got 'x'"),
        (["--labels", "few.csv", "--regression", "--multi-label"], "expected one of them, got 2"),
        (["--labels", "few.csv", "--max-error", "1.5"], "max_error"),
        (["--labels", "ink.csv", "--regression", "--max-error", "0.1"], "for single labels"),
        ([], "expected a CSV file with the columns path,label"),
        (["--labels", "few.csv", "--out", "first/p.csv"], "first/p.csv exists"),
        (["--labels", "few.csv", "--out", "out/p.txt"], "a file that ends in .csv"),
        (["--classifier", "photos"], "classifier.json"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    here: Path, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "--labels" in arguments:
        other_labels(arguments[arguments.index("--labels") + 1])
    out = [] if "--out" in arguments else ["--out", "out/p.csv"]
    before = {p: p.stat().st_mtime_ns for p in Path("first").rglob("*")}
    encoder = None if "--classifier" in arguments else ENCODER
    assert classify(*arguments, *out, encoder=encoder) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert words in error[-1]
    assert error[-1].startswith("jessl classify: error: ")
    assert not Path("out").exists()
    assert {p: p.stat().st_mtime_ns for p in Path("first").rglob("*")} == before


def test_missing_images_can_be_left_out_and_single_images_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other_labels("missing.csv")
    arguments = ["--labels", "missing.csv", "--allow-missing", "--out", "out/p.csv", "--no-page"]
    assert classify(*arguments) == 0
    good = [(f"{i}.png", f"d{Y[i]}") for i in LABELLED]
    write_labels("alone.csv", [*good, (f"{ROWS[150]}.png", "zebra")])
    capsys.readouterr()
    assert classify("--labels", "alone.csv", "--out", "other/p.csv", "--no-page") == 0
    error = capsys.readouterr().err
    assert (
        f"1 class has a single labelled image, the first is 'zebra' with '{ROWS[150]}.png'" in error
    )


def test_labelled_images_that_are_unlike_the_others_are_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Labels of two classes only, where there are ten; a random sample raises no such warning."""
    write_labels("two.csv", [(f"{i}.png", f"{Y[i]}") for i in ROWS[:-1] if Y[i] < 2])
    assert classify("--labels", "two.csv", "--out", "out/p.csv", "--json", "--no-page") == 0
    captured = capsys.readouterr()
    warnings = json.loads(captured.out)["warnings"]
    assert any("are unlike the labelled ones" in warning for warning in warnings)
    assert "chosen at random" in captured.err
    assert classify("--labels", "few.csv", "--out", "other/p.csv", "--json", "--no-page") == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []
