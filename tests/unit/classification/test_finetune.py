"""Fine-tuning: divided labels, the comparison with the frozen probe, and what is kept."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from helpers.run_samples import small_config
from jessl import Finetune, FinetuneResult, Run, classify, embed, export, finetune, pretrain
from jessl.classification import finetune as module
from jessl.classification import label_parts
from jessl.classification.classifier import EmbeddingClassifier
from jessl.classification.finetune import choose_kept
from jessl.classification.finetune_folder import started_folds
from jessl.classification.head_classifier import classifier_of_head
from jessl.classification.label_parts import divide
from jessl.classification.labels import Labelled
from jessl.classification.paired import paired_difference
from jessl.cli.main import main
from jessl.core.files import read_json, write_json
from jessl.core.interruption import Stopped
from jessl.core.log import SILENT, Log
from jessl.data import open_source
from jessl.extraction.open_encoder import open_encoder
from jessl.training import checkpoint

COLOURS = {"blue": (20, 20, 200), "green": (20, 200, 20), "red": (200, 20, 20)}


def _images(path: Path, n: int = 60, labelled: int = 48, *, dark: bool = False) -> Path:
    """Images of three noisy colours, and a file with the labels of the first ones.

    Args:
        dark: whether the images without a label are black.
    """
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    x = np.array(list(COLOURS.values()))[y][:, None, None] + rng.normal(0, 40, (n, 8, 8, 3))
    if dark:
        x[labelled:] = 0
    np.savez(path / "images.npz", x=x.clip(0, 255).astype(np.uint8))
    names = list(COLOURS)
    with (path / "few.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("path", "label"), *((i, names[y[i]]) for i in range(labelled))]
        )
    return path


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one epoch, whose weights are trained on."""
    folder = _images(tmp_path_factory.mktemp("start"))
    config = small_config(folder / "images.npz", folder / "run", epochs=1)
    return pretrain(config, quiet=True).path


def _config(folder: Path, start: Path, **changes: Any) -> Finetune:
    config = Finetune(
        data=str(folder / "images.npz"), labels=str(folder / "few.csv"), init=str(start),
        out=str(folder / "out"), epochs=4, batch_size=8, lr=3e-3, flip=0.0, workers=1,
    )  # fmt: skip
    return replace(config, **changes)


def test_the_finetuned_network_predicts_through_classify(
    tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_parts, "LEAST_TO_STOP", 10)
    folder = _images(tmp_path)
    reached = 0

    def stop() -> bool:
        nonlocal reached
        reached += 1
        return reached == 6

    config = _config(folder, _blind(folder, start), folds=1, lr=0.03, ema_weights=0.5)
    with pytest.raises(Stopped):
        finetune(config, quiet=True, log=SILENT, stop=stop)
    lines: list[str] = []
    result = finetune(config, quiet=True, log=Log(lines.append))
    assert (result.train, result.stop, result.compare) == (28, 10, 10)
    assert (result.kept, result.folds) == ("finetuned", 1)
    assert result.difference.first > result.difference.second
    assert result.run == folder / "out" / "run"
    assert result.summary in lines
    assert (result.flip, result.warnings) == (0, ())
    assert Run.open(result.run).facts()["n_train"] == 48
    settings = Run.open(result.run).resolved_config()
    assert (settings.objective, settings.layer_decay, settings.holdout) == ("supervised", 0.75, 0)
    assert settings.epochs == result.epochs

    # the folder predicts as the network does
    encoder, objective, _ = open_encoder(result.run)
    images = open_source(folder / "images.npz")
    predicted = classify(
        images, classifier=result.classifier, out=tmp_path / "p.csv", page=False, log=SILENT
    )
    assert predicted.predicted == 60
    pixels = encoder.preprocess
    x = torch.tensor(np.stack([images.read(i) for i in range(60)])).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (pixels.mean, pixels.std))
    with torch.no_grad():
        assert objective is not None
        logits = objective.eval().classify(encoder.eval()((x - mean) / std))
    expected = np.array(result.classes)[logits.argmax(dim=1).numpy()]
    assert [row["label"] for row in _rows(tmp_path / "p.csv")] == expected.tolist()

    # so does its export, whose head is the kept one with its temperature
    assert _exported_probabilities(result, x, mean, std).argmax(axis=1).tolist() == [
        sorted(COLOURS).index(name) for name in expected
    ]

    # the same call finds it finished, also after the folder was moved
    again = finetune(config, quiet=True, log=SILENT)
    assert again == result
    with pytest.raises(ValueError, match=r"was begun with --lr 0.03, got 0.1"):
        finetune(replace(config, lr=0.1), quiet=True, log=SILENT)
    with pytest.raises(ValueError, match=r"was begun with --folds 1, got None"):
        finetune(replace(config, folds=None), quiet=True, log=SILENT)

    # a folder of a version without folds has one held-out part
    state = read_json(folder / "out" / "finetune.json")
    del state["folds"], state["config"]["folds"]
    del state["result"]["folds"], state["result"]["difference"]["folds"]
    write_json(folder / "out" / "finetune.json", state)
    assert started_folds(folder / "out") == 1
    assert finetune(replace(config, folds=None), quiet=True, log=SILENT) == result


def _blind(folder: Path, start: Path) -> Path:
    """The run with weights that see the red channel only: a probe cannot tell blue from green."""
    net, _, _ = open_encoder(start)
    weights = net.state_dict()
    weights["body.layers.0.weight"][:, 1:] = 0
    torch.save(weights, folder / "red.pt")
    config = small_config(
        folder / "images.npz", folder / "blind", init=str(folder / "red.pt"), epochs=1, lr=1e-9
    )
    return pretrain(config, quiet=True).path


def _exported_probabilities(
    result: FinetuneResult, x: torch.Tensor, mean: torch.Tensor, std: torch.Tensor
) -> np.ndarray:
    """Of images in 0..1, by an export that knows nothing of jessl."""
    net = result.out.parent / "net"
    exported = export(result.out, net, format="torch", head=True, log=SILENT)
    assert exported.classes == tuple(sorted(COLOURS))
    assert "labelled images" in (net / "README.md").read_text()
    program = torch.export.load(net / "model.pt2").module()
    with torch.no_grad():
        return program((x - mean) / std)[1].softmax(dim=1).numpy()


def test_folds_compare_on_every_image_and_a_perfect_probe_is_kept(
    tmp_path: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _images(tmp_path, labelled=12, dark=True)
    config = _config(folder, start, epochs=2, batch_size=None, lr=1e-3, workers=None)
    out = folder / "out"
    third_begins = out / "start" / "trial-3.safetensors"
    lines: list[str] = []
    with pytest.raises(Stopped):
        finetune(config, quiet=True, log=Log(lines.append), stop=third_begins.exists)
    assert (
        "4 trainings, each on about 9 of 12 labelled images and compared on the others" in lines[0]
    )
    finished = _times(out / "trial-1") | _times(out / "trial-2")
    arguments = [
        *("finetune", "--data", config.data, "--labels", str(config.labels)),
        *("--init", config.init, "--out", config.out, "--epochs", "2", "--flip", "0", "--json"),
    ]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert _times(out / "trial-1") | _times(out / "trial-2") == finished
    assert (result["train"], result["stop"], result["compare"]) == (9, 0, 12)
    assert (result["kept"], result["folds"], result["epochs"]) == ("probe", 4, 2)
    assert (
        "cannot be distinguished with 12 labelled images, each predicted by networks that did not "
        "see it: -"
    ) in result["summary"]
    assert "; kept: the frozen probe, which is ahead by " in result["summary"]
    assert result["difference"]["second"] == 1
    assert "unlike the labelled ones: 48 of 48 are far from all" in result["warnings"][0]
    fitted = EmbeddingClassifier.load(result["classifier"])
    assert fitted.about_["data"]["labelled"] == 12
    assert fitted.about_["encoder"]["spec"] == config.init
    assert not (out / "run").exists()
    config_of_trial = Run.open(out / "trial-1").resolved_config()
    assert (config_of_trial.patience, config_of_trial.epochs) == (None, 2)
    assert checkpoint.steps(out / "trial-4" / "checkpoints")

    # every image was predicted once, by a network that was trained on the others
    compared = _rows(out / "compared.csv")
    everything = {row["path"] for row in _rows(folder / "few.csv")}
    assert sorted(row["path"] for row in compared) == sorted(everything)
    for fold in ("1", "2", "3", "4"):
        own = {row["path"] for row in compared if row["fold"] == fold}
        assert {
            row["path"] for row in _rows(out / "labels" / f"fit-{fold}.csv")
        } == everything - own
        assert Run.open(out / f"trial-{fold}").facts()["n_train"] == 9

    # the probe is exported with its encoder
    values = read_json(folder / "out" / "finetune.json")["result"]
    again = FinetuneResult.from_json(values, folder / "out")
    images = open_source(folder / "images.npz")
    z = embed(start, images)
    x = torch.tensor(np.stack([images.read(i) for i in range(60)])).permute(0, 3, 1, 2) / 255
    pixels = open_encoder(start)[0].preprocess
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (pixels.mean, pixels.std))
    probabilities = _exported_probabilities(again, x, mean, std)
    np.testing.assert_allclose(probabilities, fitted.predict_proba(z), atol=1e-5)
    other = _of_another_encoder(folder, fitted)
    with pytest.raises(ValueError, match=r"head: the classifier in .* with other weights"):
        export(other, tmp_path / "other-net", format="torch", head=True, log=SILENT)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _times(folder: Path) -> dict[str, int]:
    """When each file of a training was written."""
    files = [*(folder / "checkpoints").rglob("*"), folder / "records.jsonl"]
    return {str(p): p.stat().st_mtime_ns for p in files if p.is_file()}


def _of_another_encoder(folder: Path, fitted: EmbeddingClassifier) -> Path:
    """The classifier in a folder that says that its encoder has other weights."""
    about = dict(fitted.about_)
    about["encoder"] = about["encoder"] | {"weights_sha256": "0" * 64}
    return fitted.save(folder / "other", about)


def test_the_head_is_a_classifier_whatever_the_order_of_the_names() -> None:
    """Numbers as names are numbered by value and sorted as texts."""
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(11, 4)), rng.normal(size=11)
    names = [str(k) for k in range(11)]
    z = rng.normal(size=(40, 4)).astype(np.float32)
    logits = z @ weights.T + bias
    labels = logits.argmax(axis=1)
    labels[:4] = (labels[:4] + 1) % 11
    fitted = classifier_of_head(weights, bias, names, logits=logits, labels=labels, features=z)
    assert fitted.predict(z).tolist() == [names[k] for k in logits.argmax(axis=1)]
    assert fitted.expected_accuracy_.value == 0.9
    assert "from 40 labelled images that were held out" in fitted.expected_accuracy_.text
    assert fitted.confusion_.trace() == 36
    assert fitted.with_max_error(0.2).abstention_ is not None
    # of folds the rows count for less, and the class that no fold holds out is unknown
    folded = classifier_of_head(
        weights, bias, names, logits=logits, labels=labels, features=z, folds=4, each=4, alone=2
    ).expected_accuracy_
    assert folded.value == 0.9
    assert folded.independent < 40
    assert folded.low < fitted.expected_accuracy_.low
    assert "from 42 labelled images in 4 folds" in folded.text
    assert "2 classes have one labelled image" in folded.text


@pytest.mark.parametrize(("each", "sizes"), [(10, (24, 6, 6)), (9, (20, 0, 7)), (2, (4, 0, 2))])
def test_labels_are_divided_by_class(
    each: int, sizes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_parts, "LEAST_TO_STOP", 6)
    n = 3 * each
    images = open_source((np.zeros((40, 8, 8), np.uint8), None))
    labelled = Labelled(np.arange(n), ["abc"[i % 3] for i in range(n)])
    parts = divide(images, labelled, 0, 1)
    (trial,) = parts.trials
    assert (len(trial.fit), trial.stop, len(trial.compare)) == sizes
    assert sorted([*trial.fit, *trial.compare]) == list(range(n))
    assert set(parts.names(trial.fit)) == set("abc")
    counts = np.unique(parts.names(trial.compare), return_counts=True)[1]
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    ("sizes", "folds", "expected"),
    [((5, 2, 1), 4, 4), ((5, 5), 2, 2), ((2, 1), 4, 2), ((40, 30), None, 4), ((90, 70), None, 1)],
)
def test_each_image_is_in_one_fold(
    sizes: tuple[int, ...], folds: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_parts, "ENOUGH_TO_COMPARE", 20)
    texts = [name for name, size in zip("abc", sizes, strict=False) for _ in range(size)]
    n = len(texts)
    images = open_source((np.zeros((200, 8, 8), np.uint8), None))
    parts = divide(images, Labelled(np.arange(n) + 7, texts), 0, folds)
    assert len(parts.trials) == expected
    alone = [i + 7 for i, text in enumerate(texts) if texts.count(text) == 1]
    assert parts.alone.tolist() == alone
    for trial in parts.trials:
        assert sorted([*trial.fit, *trial.compare]) == parts.all.tolist()
        assert set(parts.names(trial.fit)) == set(texts)
        if expected > 1:
            counts = np.unique(parts.names(trial.compare), return_counts=True)[1]
            assert counts.max() - counts.min() <= 1 + (max(sizes) > min(sizes)) * max(sizes)
    if expected > 1:
        every = np.concatenate([trial.compare for trial in parts.trials])
        assert sorted([*every, *alone]) == parts.all.tolist()
        lengths = [len(trial.compare) for trial in parts.trials]
        assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(
    ("only_first", "only_second", "keep", "kept", "reason"),
    [
        (20, 2, "better", "finetuned", "the fine-tuned network"),
        (3, 1, "better", "finetuned", "the fine-tuned network, which is ahead by 2.0 points"),
        (1, 1, "better", "probe", "the frozen probe, as both are equally accurate"),
        (1, 3, "better", "probe", "the frozen probe, which is ahead by 2.0 points"),
        (2, 20, "better", "probe", "the frozen probe"),
        (20, 2, "probe", "probe", "the frozen probe"),
        (2, 20, "finetuned", "finetuned", "the fine-tuned network"),
    ],
)
def test_the_more_accurate_one_is_kept(
    only_first: int, only_second: int, keep: str, kept: str, reason: str
) -> None:
    rows = np.arange(100)
    first = (rows < only_first) | (rows >= 50)
    second = ((rows >= only_first) & (rows < only_first + only_second)) | (rows >= 50)
    difference = paired_difference(first, second, folds=4)
    assert choose_kept(keep, difference) == (kept, reason)


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([(0, "a"), (1, "a")], {}, "expected at least two classes"),
        ([(0, "a"), (1, "b")], {}, "expected at least two images of some class"),
        (None, {"folds": 0}, "folds: expected a whole number of at least 1, got 0"),
        ([], {}, "no row below the header"),
        ([(0, "a"), (99, "b")], {}, "1 of 2 images is not in"),
        (None, {"init": "no-such-run"}, "no-such-run"),
        (None, {"keep": "best"}, "unknown keep 'best'"),
        (None, {"flip": 2.0}, "flip"),
        (None, {"layer_decay": 2.0}, "layer_decay: expected"),
        (None, {"label_smoothing": 1.0}, "label_smoothing: expected"),
        (None, {"labels": None}, "has no labels of its own"),
        (None, {"size": 32}, "size: expected None"),
    ],
)
def test_mistakes_are_one_line_and_nothing_is_written(
    tmp_path: Path, start: Path, rows: Any, changes: dict[str, Any], message: str
) -> None:
    folder = _images(tmp_path)
    if rows is not None:
        with (folder / "few.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label"), *rows])
    with pytest.raises(ValueError, match=message) as caught:
        finetune(_config(folder, start, **changes), quiet=True, log=SILENT)
    assert len(str(caught.value).splitlines()) == 1
    assert not (folder / "out").exists()


def test_other_things_in_the_folder_are_left_alone(tmp_path: Path, start: Path) -> None:
    folder = _images(tmp_path)
    (folder / "out").mkdir()
    (folder / "out" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="out: expected a new or an empty folder"):
        finetune(_config(folder, start), quiet=True, log=SILENT)
    assert [p.name for p in (folder / "out").iterdir()] == ["notes.txt"]


def test_several_processes_are_refused(
    tmp_path: Path, start: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "several_processes", lambda: True)
    with pytest.raises(ValueError, match="finetune: expected one process"):
        finetune(_config(_images(tmp_path), start), quiet=True, log=SILENT)
