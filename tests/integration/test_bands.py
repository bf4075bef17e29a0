"""Bands and 16 bits through the whole flow: nothing is lost that a probe needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import jessl
from jessl.cli import main
from jessl.data import band_statistics
from jessl.embeddings import Embeddings
from jessl.extraction.without_labels import without_labels

RNG = np.random.default_rng(0)
LABELS = np.arange(80) % 2
# within one level of 8 bits: 29,940 to 30,196 are all 117
GREY = (
    30000 + RNG.integers(0, 20, (80, 12, 12, 4)) + 60 * LABELS[:, None, None, None] * [0, 0, 0, 1]
)


def accuracy(z: Embeddings) -> float:
    half = np.arange(80) % 4 < 2
    return jessl.probe(
        z.subset(np.flatnonzero(half)), z.subset(np.flatnonzero(~half)), kind="ridge"
    ).accuracy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tifffile = pytest.importorskip("tifffile")
    root = tmp_path_factory.mktemp("flow") / "images"
    for k, image in enumerate(GREY.astype(np.uint16)):
        path = root / "ab"[LABELS[k]] / f"{k:02}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(
            path, image, photometric="minisblack", planarconfig="contig", metadata=None
        )
    return root


def test_a_labelled_folder_without_its_labels_keeps_its_bands(folder: Path) -> None:
    labelled = jessl.open_source(f"bands:{folder}@4,1")
    images = without_labels(labelled)
    assert labelled.labels is not None
    assert images.labels is None
    assert images.read(0).tolist() == labelled.read(0).tolist()


def test_from_a_folder_of_four_bands_to_a_score(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", f"bands:{folder}"]
    # a training whose views keep 40 of 65,536 levels apart needs the range that they use
    data += ["--range", "29900", "30200"]
    run = tmp_path / "run"
    training = ["--encoder", "smallconv:4", "--epochs", "1", "--batch-size", "40", "--no-tune"]
    assert main(["pretrain", *data, "--out", str(run), *training]) == 0
    assert main(["embed", str(run), *data, "--out", str(tmp_path / "z")]) == 0
    assert main(["score", str(tmp_path / "z")]) == 0
    assert "none of them named as colour" in capsys.readouterr().err
    config = jessl.Run.open(run).resolved_config()
    assert config.mean is not None
    z = Embeddings.load(tmp_path / "z")
    assert z.meta["preprocess"]["mean"] == pytest.approx(list(config.mean))
    assert accuracy(z) > 0.95
    assert (run / "views.png").is_file()
    # images of other channels
    assert main(["embed", str(run), "--data", "digits", "--out", str(tmp_path / "no")]) == 2
    assert "takes 4 channels" in capsys.readouterr().err


def test_a_probe_needs_the_fourth_band_and_the_low_bits() -> None:
    four = GREY.astype(np.uint16)
    z = jessl.embed("smallconv:4", (four, LABELS), init="random")
    assert accuracy(z) > 0.95
    three = jessl.embed("smallconv:4", (four[..., :3], LABELS), init="random")
    assert accuracy(three) < 0.75


def test_a_probe_needs_the_low_bits(tmp_path: Path) -> None:
    path = tmp_path / "grey.npz"
    np.savez(path, x=GREY[..., 3].astype(np.uint16), y=LABELS)
    z = jessl.embed("smallconv:4", f"bands:{path}", init="random")
    assert accuracy(z) > 0.95
    # of 8 bits all pixels are equal
    assert accuracy(jessl.embed("smallconv:4", path, init="random")) < 0.75


def test_classify_curate_and_select_take_bands(tmp_path: Path) -> None:
    four = GREY.astype(np.uint16)
    np.savez(tmp_path / "four.npz", x=four, y=LABELS)
    np.savez(tmp_path / "new.npz", x=four[:20, ::-1])
    few = tmp_path / "few.csv"
    few.write_text("path,label\n" + "".join(f"{k},{'ab'[LABELS[k]]}\n" for k in range(24)))
    result = jessl.classify(
        tmp_path / "four.npz",
        encoder="random:smallconv:4",
        labels=few,
        out=tmp_path / "out" / "p.csv",
        workers=1,
    )
    rows = (tmp_path / "out" / "p.csv").read_text().splitlines()[1:]
    right = [row.split(",")[1] == "ab"[LABELS[int(row.split(",")[0])]] for row in rows]
    assert np.mean(right) > 0.9
    assert "figure class=" in (tmp_path / "out" / "p.html").read_text()
    # other images are normalised as those that the classifier was fitted on
    again = jessl.classify(
        tmp_path / "new.npz",
        classifier=result.classifier,
        out=tmp_path / "again" / "p.csv",
        page=False,
        workers=1,
    )
    assert again.predicted == 20
    assert not any("images with bands" in line for line in again.warnings)
    turned = jessl.classify(
        f"bands:{tmp_path / 'new.npz'}@4,3,2,1",
        classifier=result.classifier,
        out=tmp_path / "turned" / "p.csv",
        value_range=(0, 40000),
        page=False,
        workers=1,
    )
    bands, values = turned.warnings[:2]
    assert "fitted on images with bands 1, 2, 3, 4; " in bands
    assert " has 4, 3, 2, 1: " in bands
    assert "value range not stated; " in values
    assert " has 0.0, 40000.0: " in values
    with pytest.raises(ValueError, match="expected images of 4 channels"):
        jessl.classify("digits", classifier=result.classifier, out=tmp_path / "x" / "p.csv")
    # a file of RGB weights is adapted as published ones are
    from safetensors.torch import save_file

    from jessl.encoders import build_encoder

    rgb = {k: v.contiguous() for k, v in build_encoder("smallconv:4").state_dict().items()}
    save_file(rgb, tmp_path / "rgb.safetensors")
    z = jessl.embed(f"ckpt:{tmp_path / 'rgb.safetensors'}@smallconv:4", tmp_path / "four.npz")
    assert "from 3 to 4 channels" in " ".join(z.meta["weights_report"]["notes"])
    table = jessl.compare_encoders(
        ["random:smallconv:4", "pixels"],
        tmp_path / "four.npz",
        out=tmp_path / "compared",
        view_images=0,
        workers=1,
    )
    assert [row.failed for row in table.rows] == [None, None]
    assert table.rows[0].input_px is not None
    z = jessl.embed("random:smallconv:4", tmp_path / "four.npz", workers=1)
    curated = jessl.curate(z, data=tmp_path / "four.npz", out=tmp_path / "curated", workers=1)
    assert curated.image_faults is None
    with pytest.raises(ValueError, match=r"expected the bands of .* \(1, 2, 3, 4\), got RGB"):
        jessl.compare_encoders(
            ["pixels"], tmp_path / "four.npz", test="digits", out=tmp_path / "other"
        )


def test_finetune_takes_bands_and_keeps_their_normalisation(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import save_file

    from jessl.encoders import build_encoder

    four = GREY.astype(np.uint16)
    np.savez(tmp_path / "four.npz", x=four, y=LABELS)
    net = build_encoder("smallconv:4", normalisation=((0.5,) * 4, (0.1,) * 4))
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, tmp_path / "w.safetensors")
    few = tmp_path / "few.csv"
    few.write_text("path,label\n" + "".join(f"{k},{'ab'[LABELS[k]]}\n" for k in range(40)))
    source = jessl.open_source(f"bands:{tmp_path / 'four.npz'}#4,2,1", value_range=(29900, 30200))
    result = jessl.finetune(
        jessl.Finetune(
            data=f"bands:{tmp_path / 'four.npz'}#4,2,1",
            value_range=(29900, 30200),
            labels=str(few),
            init=f"ckpt:{tmp_path / 'w.safetensors'}@smallconv:4",
            out=str(tmp_path / "tuned"),
            keep="finetuned",
            folds=1,
            epochs=1,
            refit=False,
            log=(),
            workers=1,
        ),
        source=source,
        quiet=True,
    )
    # of all images: the probe, from which the classifier starts, had these
    mean, std = band_statistics(source)
    assert jessl.Run.open(result.run).resolved_config().mean == mean
    exported = jessl.export(tmp_path / "tuned", tmp_path / "net", format="torch", head=True)
    assert exported.preprocess.std == std
    text = (tmp_path / "net" / "README.md").read_text()
    assert "the bands 1, 2, 3, 4 in this order" in text
    assert "low, high = 29900, 30200" in text
    # one line where the bands come in another order
    turned = f"bands:{tmp_path / 'four.npz'}@4,3,2,1"
    words = ["--data", turned, "--range", "29900", "30200", "--out", str(tmp_path / "turned")]
    capsys.readouterr()
    assert main(["embed", str(result.run), *words]) == 0
    err = capsys.readouterr().err
    assert err.count("trained on images with bands 1, 2, 3, 4, and ") == 1
    assert " has 4, 3, 2, 1: the features are wrong unless" in err


def test_weights_for_other_bands_are_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "four.npz", x=GREY.astype(np.uint16))
    np.savez(tmp_path / "rgb.npz", x=RNG.integers(0, 255, (40, 12, 12, 3)).astype(np.uint8))
    four, limits = f"bands:{tmp_path / 'four.npz'}", ["--range", "29900", "30200"]
    options = ["--encoder", "smallconv:4", "--epochs", "1", "--batch-size", "16", "--log", "none"]

    def warnings(name: str, *arguments: str) -> list[str]:
        capsys.readouterr()
        out = ["--out", str(tmp_path / name), "--evaluate-epochs", "0"]
        assert main(["pretrain", *arguments, *out, *options]) == 0
        return [s for s in capsys.readouterr().err.splitlines() if s.startswith("warning: init:")]

    assert warnings("run", "--data", four, *limits) == []
    init = ["--init", str(tmp_path / "run")]
    assert warnings("same", "--data", four, *limits, *init) == []
    (turned,) = warnings("turned", "--data", f"{four}@4,3,2,1", *limits, *init)
    assert "with bands 1, 2, 3, 4, and " in turned
    assert "four.npz has 4, 3, 2, 1: the training starts from" in turned
    (step,) = (tmp_path / "run" / "checkpoints").iterdir()
    (other,) = warnings("other", "--data", four, "--range", "0", "60000", "--init", str(step))
    assert "value range 29900.0, 30200.0, and " in other
    assert warnings("rgb", "--data", str(tmp_path / "rgb.npz")) == []
    (more,) = warnings("more", "--data", four, *limits, "--init", str(tmp_path / "rgb"))
    assert "with bands RGB, and " in more
