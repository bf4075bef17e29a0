"""Sound files to damage: images of every format and kind, arrays, shards, a run, a study."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 20


def images(kind: str) -> list[bytes]:
    """Images of a format in its variants: modes, compressions, EXIF, transparency, frames."""
    rng = np.random.default_rng(0)
    colour = Image.fromarray(rng.integers(0, 256, (SIDE, SIDE + 4, 3), dtype=np.uint8))
    alpha = colour.copy()
    alpha.putalpha(128)
    exif = Image.Exif()
    exif[0x0112] = 6
    variants: dict[str, list[tuple[Image.Image, dict[str, object]]]] = {
        "jpg": [
            (colour, {"quality": 95, "subsampling": 0}),
            (colour, {"quality": 50, "progressive": True, "exif": exif}),
            (colour.convert("L"), {}),
            (colour.convert("CMYK"), {"restart_marker_rows": 1}),
        ],
        "png": [
            (colour, {}),
            (alpha, {}),
            (colour.convert("P"), {"transparency": 3}),
            (Image.fromarray(rng.integers(0, 65536, (SIDE, SIDE), dtype=np.uint16)), {}),
            (colour.convert("1"), {"exif": exif}),
        ],
        "gif": [(colour, {}), (colour, {"save_all": True, "append_images": [colour, alpha]})],
        "bmp": [(colour, {}), (colour.convert("P"), {}), (colour.convert("1"), {})],
        "tiff": [
            (colour, {}),
            (colour, {"compression": "tiff_lzw"}),
            (colour, {"compression": "jpeg"}),
            (colour.convert("L"), {"compression": "tiff_deflate", "exif": exif}),
            (colour.convert("1"), {"compression": "group4"}),
            (Image.fromarray(rng.integers(0, 4096, (SIDE, SIDE), dtype=np.uint16)), {}),
        ],
        "webp": [
            (colour, {"lossless": True}),
            (alpha, {"quality": 60}),
            (colour, {"save_all": True, "append_images": [colour.rotate(90)], "exif": exif}),
        ],
        "ppm": [(colour, {}), (colour.convert("L"), {})],
    }
    return [encoded(image, kind, options) for image, options in variants[kind]]


def encoded(image: Image.Image, kind: str, options: dict[str, object]) -> bytes:
    """An image as a file."""
    file = io.BytesIO()
    image.save(file, {"jpg": "JPEG"}.get(kind, kind.upper()), **options)
    return file.getvalue()


def arrays(folder: Path) -> None:
    """Features and images as .npy, .npz and .safetensors."""
    from safetensors.numpy import save_file

    x, y, z = _data()
    np.save(folder / "images.npy", x)
    np.savez_compressed(folder / "images.npz", x=x, y=y)
    np.save(folder / "features.npy", z)
    np.savez(folder / "features.npz", features=z, labels=y, ids=np.arange(len(z)))
    save_file({"features": z, "labels": y}, folder / "features.safetensors")


def embeddings(folder: Path) -> None:
    """A folder of embeddings."""
    from jessl import Embeddings

    _, y, z = _data()
    meta = {"encoder": "smallconv:4"}
    Embeddings(z, y, np.arange(len(z)), meta=meta).save(folder / "z")


def shards(folder: Path) -> None:
    """Packed shards with their index, and tar shards of another tool without one."""
    from jessl.data.packing.pack import pack

    arrays(folder)
    pack(folder / "images.npz", folder / "packed", shard_mb=0.02, workers=1)
    (folder / "other.tar").write_bytes((folder / "packed" / "shard-000000.tar").read_bytes())


def table_of_labels(folder: Path) -> None:
    """A folder of images with a table of their labels."""
    (folder / "photos").mkdir()
    for i, data in enumerate(images("png")[:3]):
        (folder / "photos" / f"{i}.png").write_bytes(data)
    (folder / "labels.csv").write_text("path,label\n0.png,cat\n1.png,dog\n2.png,cat\n")


def run(folder: Path) -> None:
    """A finished run on 24 images."""
    from helpers.run_samples import small_config
    from jessl import pretrain

    arrays(folder)
    config = small_config(folder / "images.npz", folder / "run", epochs=1, size=8, batch_size=8)
    pretrain(config, quiet=True)


def study(folder: Path) -> None:
    """A finished study of two runs, its file, a table of runs, and one of models."""
    import jessl
    from helpers.run_samples import SMALL

    arrays(folder)
    (folder / "study.toml").write_text(STUDY.format(data=folder / "images.npz"))
    base = jessl.Pretrain(
        **{**SMALL, "epochs": 1, "batch_size": 8, "data": str(folder / "images.npz")}  # type: ignore[arg-type]
    )
    config = jessl.Sweep(base=base, space={"lr": [0.1, 0.2]}, seeds=(0,))
    jessl.sweep(config, folder / "study")
    rows = "".join(f"run{i},vicreg,{lr},{i},{3 + i}.5\n" for i, lr in enumerate((0.1, 0.2, 0.4)))
    (folder / "table.csv").write_text(f"run,method,lr,seed,rankme_projector\n{rows}")
    models = "".join(
        f"m{i},{10 + i},{2**i},vicreg,{i}.5,{20 + i},3,{24 + 2 * i}.5\n" for i in range(9)
    )
    names = "name,epochs,z_dim,objective,usability,probe_gen,enc_gen,train_test"
    (folder / "zoo.csv").write_text(f"{names}\n{models}")


def recipes(folder: Path) -> None:
    """Recipes of views, as TOML and JSON."""
    from jessl.views import presets

    presets.save(presets.preset("simclr", 8), folder / "views.json")
    (folder / "views.toml").write_text(VIEWS)


def _data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (24, 8, 8, 3), dtype=np.uint8)
    return x, np.arange(24) % 3, rng.normal(size=(24, 6)).astype(np.float32)


STUDY = """\
[base]
data = "{data}"
encoder = "smallconv:4"
objective = "vicreg"
epochs = 2
size = 8
batch_size = 16
workers = 1
view_options = {{ flip = 0.0 }}

[space]
lr = {{ low = 0.01, high = 1.0, log = true }}
"objective_options.cov" = [1, 4]

[study]
sampler = "random"
trials = 2
seeds = [0, 1]
by = "rankme"
"""

VIEWS = """\
n_global = 1

[[views]]
size = 8
max_scale = 0.5
jitter = 0.8

[[views]]
size = 6
apart_from = 0
noise = 1.0
noise_sigma = [0.05, 0.1]
"""

BUILDERS: dict[str, Callable[[Path], None]] = {
    "arrays": arrays,
    "embeddings": embeddings,
    "shards": shards,
    "labels": table_of_labels,
    "run": run,
    "study": study,
    "recipes": recipes,
}
