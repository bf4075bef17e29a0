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
from jessl.classification.head_classifier import classifier_of_head
from jessl.classification.label_parts import divide
from jessl.classification.labels import Labelled
from jessl.cli.main import main
from jessl.core.files import read_json
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

    config = _config(folder, start, keep="finetuned")
    with pytest.raises(Stopped):
        finetune(config, quiet=True, log=SILENT, stop=stop)
    lines: list[str] = []
    result = finetune(config, quiet=True, log=Log(lines.append))
    assert (result.train, result.stop, result.compare) == (28, 10, 10)
    assert result.kept == "finetuned"
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
    with (tmp_path / "p.csv").open(newline="") as file:
        assert [row["label"] for row in csv.DictReader(file)] == expected.tolist()

    # so does its export, whose head is the kept one with its temperature
    assert _exported_probabilities(result, x, mean, std).argmax(axis=1).tolist() == [
        sorted(COLOURS).index(name) for name in expected
    ]

    # the same call finds it finished, also after the folder was moved
    again = finetune(config, quiet=True, log=SILENT)
    assert again == result
    with pytest.raises(ValueError, match=r"was begun with --lr 0.003, got 0.1"):
        finetune(replace(config, lr=0.1), quiet=True, log=SILENT)


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


def test_a_tie_keeps_the_probe_and_few_labels_have_no_early_stopping(
    tmp_path: Path, start: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = _images(tmp_path, labelled=12, dark=True)
    config = _config(folder, start)
    arguments = [
        *("finetune", "--data", config.data, "--labels", str(config.labels)),
        *("--init", config.init, "--out", config.out, "--epochs", "2", "--flip", "0", "--json"),
    ]
    assert main(arguments) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["train"], result["stop"], result["compare"]) == (9, 0, 3)
    assert result["kept"] == "probe"
    assert "cannot be distinguished with 3 held-out images" in result["summary"]
    assert "unlike the labelled ones: 48 of 48 are far from all" in result["warnings"][0]
    fitted = EmbeddingClassifier.load(result["classifier"])
    assert fitted.about_["data"]["labelled"] == 12
    assert fitted.about_["encoder"]["spec"] == config.init
    assert not (folder / "out" / "run").exists()
    config_of_trial = Run.open(folder / "out" / "trial").resolved_config()
    assert (config_of_trial.patience, config_of_trial.epochs) == (None, 2)
    assert checkpoint.steps(folder / "out" / "trial" / "checkpoints")

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


@pytest.mark.parametrize(("each", "sizes"), [(10, (24, 6, 6)), (9, (20, 0, 7)), (2, (4, 0, 2))])
def test_labels_are_divided_by_class(
    each: int, sizes: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_parts, "LEAST_TO_STOP", 6)
    n = 3 * each
    images = open_source((np.zeros((40, 8, 8), np.uint8), None))
    labelled = Labelled(np.arange(n), ["abc"[i % 3] for i in range(n)])
    parts = divide(images, labelled, 0)
    assert (len(parts.fit), parts.stop, len(parts.compare)) == (sizes[0] + 0, sizes[1], sizes[2])
    assert sorted([*parts.fit, *parts.compare]) == list(range(n))
    assert set(parts.names(parts.fit)) == set("abc")
    counts = np.unique(parts.names(parts.compare), return_counts=True)[1]
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        ([(0, "a"), (1, "a")], {}, "expected at least two classes"),
        ([(0, "a"), (1, "a"), (2, "b")], {}, "expected at least two images of each class, got one"),
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
