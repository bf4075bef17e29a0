"""What is damaged and who reads it: one entry for each kind of file that jessl opens."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from helpers.torture import mutations
from helpers.torture.mutations import Mutation


class Crash(Exception):
    """A command that ended otherwise than with 0 or 2."""


@dataclass(frozen=True)
class Target:
    """A file to damage.

    Attributes:
        builder: name in samples.BUILDERS of the folder that holds it; for images their format.
        file: the damaged file, relative to that folder.
        mutate: the damage.
        use: reads it as jessl does, given the folder.
        writes: the reader may write into the folder (a report, a lock).
    """

    builder: str
    file: str
    mutate: Mutation
    use: Callable[[Path], None]
    writes: bool = False


def _image(file: str) -> Callable[[Path], None]:
    def use(folder: Path) -> None:
        from jessl.data.decode.image import decode, header_size

        path = folder / file
        pixels = decode(path)
        if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or str(pixels.dtype) != "uint8":
            raise Crash(f"decoded to {pixels.dtype} {pixels.shape}")
        header_size(path)

    return use


def _embeddings(name: str) -> Callable[[Path], None]:
    def use(folder: Path) -> None:
        from jessl import Embeddings

        z = Embeddings.load(folder / name)
        z.features.sum()

    return use


def _source(name: str, labels: str | None = None) -> Callable[[Path], None]:
    def use(folder: Path) -> None:
        from jessl.data import open_source

        table = None if labels is None else folder / labels
        source = open_source(folder / name, labels=table)
        source.fingerprint()
        for i in range(min(len(source), 30)):
            source.read(i)
            source.key(i)

    return use


def _pack_again(folder: Path) -> None:
    from jessl.data.packing.pack import pack

    pack(folder / "images.npz", folder / "packed", shard_mb=0.02, workers=1)


def _command(*words: str) -> Callable[[Path], None]:
    """A command of jessl in this process; {} in a word is the folder."""

    def use(folder: Path) -> None:
        from jessl.cli.main import main

        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([word.replace("{}", str(folder)) for word in words])
        if code == 2:
            raise ValueError(err.getvalue().strip().splitlines()[-1])
        if code != 0:
            raise Crash(f"exit code {code}: {err.getvalue()[-300:]}")

    return use


def _run_config(folder: Path) -> None:
    from jessl import Run

    run = Run.open(folder / "run")
    run.config()
    run.resolved_config()
    run.facts()


def _checkpoint(folder: Path) -> None:
    from jessl.training import checkpoint

    for _, path in checkpoint.steps(folder / "run" / "checkpoints"):
        checkpoint.load(path)


def _encoder(folder: Path) -> None:
    from jessl.extraction.open_encoder import open_encoder

    open_encoder(folder / "run")


def _weights(folder: Path) -> None:
    from jessl.extraction.open_encoder import open_encoder

    for path in sorted((folder / "run" / "checkpoints").glob("*/model.safetensors")):
        open_encoder("smallconv:4", init=path)


def _views(name: str) -> Callable[[Path], None]:
    def use(folder: Path) -> None:
        from jessl.views import presets

        presets.load(folder / name)

    return use


def _study_file(folder: Path) -> None:
    from jessl.sweeps.plan import plan_sweep, read_toml

    plan_sweep(read_toml(folder / "study.toml", None))


def _zoo(folder: Path) -> None:
    from jessl.zoo.table import read_table

    read_table(folder / "zoo.csv")


def _study_folder(folder: Path) -> None:
    from jessl.sweeps.study_state import begin

    study = begin(folder / "study")
    study.ended()
    study.ledger.merits()


_MODEL = "run/checkpoints/step-000000003/model.safetensors"
_STATE = "run/checkpoints/step-000000003/state.pt"
_NPZ = mutations.archive(mutations.npy)
_PT = mutations.archive(mutations.raw)

IMAGES: dict[str, Target] = {
    kind: Target(kind, f"x.{kind}", mutate, _image(f"x.{kind}"))
    for kind, mutate in {
        "jpg": mutations.raw,
        "png": mutations.png,
        "gif": mutations.raw,
        "bmp": mutations.raw,
        "tiff": mutations.raw,
        "webp": mutations.raw,
        "ppm": mutations.raw,
    }.items()
}

FILES: dict[str, Target] = {
    "features.npy": Target("arrays", "features.npy", mutations.npy, _embeddings("features.npy")),
    "features.npz": Target("arrays", "features.npz", _NPZ, _embeddings("features.npz")),
    "features.safetensors": Target(
        "arrays",
        "features.safetensors",
        mutations.safetensors,
        _embeddings("features.safetensors"),
    ),
    "images.npy": Target("arrays", "images.npy", mutations.npy, _source("images.npy")),
    "images.npz": Target("arrays", "images.npz", _NPZ, _source("images.npz")),
    "meta.json": Target("embeddings", "z/meta.json", mutations.json_text, _embeddings("z")),
    "labels.npy": Target("embeddings", "z/labels.npy", mutations.npy, _embeddings("z")),
    "ids.npy": Target("embeddings", "z/ids.npy", mutations.npy, _embeddings("z")),
    "shard.tar": Target("shards", "other.tar", mutations.tar, _source("other.tar")),
    "packed.tar": Target("shards", "packed/shard-000000.tar", mutations.tar, _source("packed")),
    "index.npz": Target("shards", "packed/index.npz", _NPZ, _source("packed")),
    "manifest.json": Target(
        "shards", "packed/manifest.json", mutations.json_text, _pack_again, writes=True
    ),
    "labels.csv": Target("labels", "labels.csv", mutations.text, _source("photos", "labels.csv")),
    "config.json": Target("run", "run/config.json", mutations.json_text, _run_config),
    "config.json, embed": Target("run", "run/config.json", mutations.json_text, _encoder),
    "config.json, report": Target(
        "run", "run/config.json", mutations.json_text, _command("report", "{}/run"), writes=True
    ),
    "records.jsonl, report": Target(
        "run", "run/records.jsonl", mutations.json_lines, _command("report", "{}/run"), writes=True
    ),
    "records.jsonl, select": Target(
        "run", "run/records.jsonl", mutations.json_lines, _command("select", "{}/run", "{}/run")
    ),
    "model.safetensors": Target("run", _MODEL, mutations.safetensors, _encoder),
    "weights.safetensors": Target("run", _MODEL, mutations.safetensors, _weights),
    "state.pt": Target("run", _STATE, _PT, _checkpoint),
    "views.json": Target("recipes", "views.json", mutations.json_text, _views("views.json")),
    "views.toml": Target("recipes", "views.toml", mutations.text, _views("views.toml")),
    "study.toml": Target("study", "study.toml", mutations.text, _study_file),
    "sweep.json": Target(
        "study", "study/sweep.json", mutations.json_text, _study_folder, writes=True
    ),
    "study.db": Target("study", "study/study.db", mutations.database, _study_folder, writes=True),
    "study.json, report": Target(
        "study",
        "study/study.json",
        mutations.json_text,
        _command("report", "{}/study"),
        writes=True,
    ),
    "study.json, select": Target(
        "study", "study/study.json", mutations.json_text, _command("select", "{}/study")
    ),
    "table.csv, select": Target(
        "study", "table.csv", mutations.text, _command("select", "{}/table.csv")
    ),
    "zoo.csv": Target("study", "zoo.csv", mutations.text, _zoo),
}

TARGETS = {**IMAGES, **FILES}
