"""Bands and 16 bits through the whole flow, by the commands: is anything lost?

    python benchmarks/bench_bands.py --cifar cifar10-train.npz --fashion fashion-train.npz \\
        --work WORK --record benchmarks/records/DATE-bands.md

Two data sets are made of real images, so that one part of the data alone tells the class:

- thirteen: 13 bands of 16 bits, reflectances 0 to 10,000. Twelve are mixtures of the colours of an
  image of CIFAR-10; band 04 is an image of Fashion-MNIST, whose class is the label. Written as
  multi-band TIFF files, and again as a folder with a file for each band.
- sixteen: images of Fashion-MNIST as 29,941 + 0..255 in 16-bit TIFF files: in 8 bits all pixels are
  117.

Each goes from files through pretrain, embed, score, probe, classify, curate and export to a run of
the exported file in a process without jessl, once with and once without the part that tells the
class. Finished steps are kept in --work.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from harness import say, tell

TRAIN, TEST, SIDE = 1000, 500, 32
BANDS = [f"{k:02}" for k in range(1, 14)]
OTHERS = ",".join(b for b in BANDS if b != "04")
LOW = 29941
Array = NDArray[Any]


def main() -> None:
    """Make the data, run every command, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar", required=True)
    parser.add_argument("--fashion", required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--record")
    args = parser.parse_args()
    flow = Flow(args.work)
    make_data(args.cifar, args.fashion, args.work)
    began = time.process_time()
    lines = ["| data | read as | probe | RankMe |", "|---|---|---:|---:|"]
    thirteen = ["--range", "0", "10000"]
    sixteen = ["--range", str(LOW), str(LOW + 255)]
    cases = {
        "thirteen": [
            ("all", "bands:{}", thirteen, "13 bands"),
            ("without", f"bands:{{}}@{','.join(places())}", thirteen, "12 bands, without 04"),
        ],
        "sixteen": [
            ("all", "bands:{}", sixteen, "16 bits"),
            ("plain", "bands:{}", [], "16 bits without --range"),
            ("without", "{}", [], "8 bits"),
        ],
    }
    facts: list[str] = []
    for name, ways in cases.items():
        for way, source, options, title in ways:
            lines.append(flow.learn(f"{name}-{way}", name, source, options, title))
        way, source, options, _ = ways[0]
        facts += ["", f"{name}, by the network of the first row:", ""]
        facts += flow.use(f"{name}-{way}", name, source, options)
    facts.append(flow.files_of_bands(thirteen))
    own = time.process_time() - began
    facts += ["", f"Processor time: {flow.seconds() + own:.0f} s in all."]
    tell(
        "Bands and 16 bits from files to an exported network",
        ["torch", "numpy", "scikit-learn", "tifffile", "onnxruntime"],
        [*about(), *lines, *facts],
        args.record,
    )


def about() -> list[str]:
    """What was measured."""
    return [
        f"{TRAIN} images to train on, {TEST} to test. `probe` is the accuracy of the logistic "
        "probe of the network's features, fitted on the training images (95 % interval); ten "
        "classes, chance is 10 %.",
        "",
    ]


def places() -> list[str]:
    """Positions of the bands but 04 in a multi-band file."""
    return [str(k + 1) for k, band in enumerate(BANDS) if band != "04"]


def make_data(cifar: str, fashion: str, work: Path) -> None:
    """Write the images, unless they are there."""
    import tifffile

    if (work / "data.json").exists():
        return
    colour, grey = np.load(cifar), np.load(fashion)
    classes, y = [f"class{k}" for k in range(10)], grey["y"]
    rng = np.random.default_rng(0)
    mixture = rng.dirichlet([1, 1, 1], len(BANDS)) * rng.uniform(0.4, 1, (len(BANDS), 1))
    plain = {"photometric": "minisblack", "metadata": None}
    for k in range(TRAIN + TEST):
        part = "train" if k < TRAIN else "test"
        small = grey["x"][k]
        square = np.asarray(Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        bands = colour["x"][k].astype(float) @ mixture.T
        bands[:, :, BANDS.index("04")] = square
        stored = np.round(bands / 255 * 10000).astype(np.uint16)
        place = Path(classes[y[k]]) / f"{k:04}"
        one = work / f"thirteen-{part}" / place.with_suffix(".tif")
        one.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(
            one, stored.transpose(2, 0, 1), planarconfig="separate", compression="zlib", **plain
        )
        for band, values in zip(BANDS, stored.transpose(2, 0, 1), strict=True):
            path = work / f"thirteen-{part}-files" / f"{place}_B{band}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, values, **plain)
        path = work / f"sixteen-{part}" / place.with_suffix(".tif")
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, LOW + small.astype(np.uint16), **plain)
    (work / "data.json").write_text(json.dumps({"images": TRAIN + TEST}))


# a process without jessl: the two blocks of code of README.md
RUN_EXPORT = """
import re, sys
from pathlib import Path
import numpy as np, tifffile

folder, out, *files = sys.argv[1:]
load, prepare = re.findall(r"```python\\n(.*?)```", Path(folder, "README.md").read_text(), re.S)[:2]
several = []
for file in files:
    bands = tifffile.imread(file)
    bands = bands[..., None] if bands.ndim == 2 else bands.transpose(1, 2, 0)
    exec(prepare)
    several.append(images)
images = torch.cat(several)
if "onnx" in load:
    images = images.numpy()
with torch.no_grad():
    exec(load)
np.save(out, np.asarray(features))
assert "jessl" not in sys.modules
"""


class Flow:
    """The commands, each run once.

    Args:
        work: folder of data, runs and results.
    """

    def __init__(self, work: Path) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.work = work

    def learn(self, key: str, data: str, source: str, options: list[str], title: str) -> str:
        """Train, embed and probe; a row of the table."""
        train, test = (source.format(self.work / f"{data}-{part}") for part in ("train", "test"))
        net = ["--encoder", "smallconv:16", "--epochs", "10", "--batch-size", "100", "--no-tune"]
        run = str(self.work / key)
        views = ["--views", "simclr", "--size", str(SIDE), "--log", "none"]
        self.jessl(
            f"{key}-pretrain", "pretrain", "--data", train, "--out", run, *net, *views, *options
        )
        for part, images in (("train", train), ("test", test)):
            out = str(self.work / f"{key}-{part}.emb")
            self.jessl(f"{key}-{part}", "embed", run, "--data", images, "--out", out, *options)
        z = [str(self.work / f"{key}-{part}.emb") for part in ("train", "test")]
        score = self.jessl(f"{key}-score", "score", z[1])
        probe = self.jessl(f"{key}-probe", "probe", "--train", z[0], "--test", z[1])
        rank = score["embeddings"][z[1]]["rankme"]["value"]
        found = probe["all"]
        return (
            f"| {data} | {title} | {100 * found['accuracy']:.1f} % "
            f"({100 - 100 * found['high']:.1f} to {100 - 100 * found['low']:.1f}) | {rank:.1f} |"
        )

    def use(self, key: str, data: str, source: str, options: list[str]) -> list[str]:
        """Classify, curate, fine-tune and export; lines for the record."""
        train, run = source.format(self.work / f"{data}-train"), str(self.work / key)
        few = self.work / f"{data}-few.csv"
        truth = [
            (p.relative_to(self.work / f"{data}-train"), p.parent.name) for p in self.files(data)
        ]
        some = np.random.default_rng(1).permutation(len(truth))[:200]
        rows = [f"{truth[k][0]},{truth[k][1]}" for k in some.tolist()]
        few.write_text("\n".join(["path,label", *rows]) + "\n")
        out = self.work / f"{key}-classified" / "predictions.csv"
        self.jessl(
            *(
                f"{key}-classify",
                "classify",
                "--data",
                train,
                "--encoder",
                run,
                "--labels",
                str(few),
            ),
            *("--out", str(out), *options),
        )
        with out.open(encoding="utf-8", newline="") as file:
            predicted = {row[0]: row[1] for row in list(csv.reader(file))[1:]}
        hits = [name == predicted[str(p)] for p, name in truth if str(p) in predicted]
        lines = [
            f"- classify, 200 labels: {100 * np.mean(hits):.1f} % of {len(hits)} images right."
        ]
        z, curated = str(self.work / f"{key}-train.emb"), str(self.work / f"{key}-curated")
        found = self.jessl(
            *(f"{key}-curate", "curate", z, "--data", train, "--labels", str(few)),
            *("--budget", "50", "--out", curated, *options),
        )
        chosen = found["label_first"]["budget"]
        lines.append(f"- curate: {chosen} images to label first; {found['sentence']}")
        tuned = str(self.work / f"{key}-tuned")
        found = self.jessl(
            *(f"{key}-finetune", "finetune", "--data", train, "--init", run, "--labels", str(few)),
            *("--out", tuned, "--folds", "1", "--epochs", "10", "--log", "none", *options),
        )
        lines.append(f"- finetune, 200 labels, 10 epochs: {found['summary']}")
        lines += [self.exported(key, data, kind, options) for kind in ("torch", "onnx")]
        return lines

    def exported(self, key: str, data: str, kind: str, options: list[str]) -> str:
        """Export, run by the lines of the README without jessl, and compare."""
        import jessl

        out = self.work / f"{key}-{kind}"
        self.jessl(f"{key}-{kind}", "export", str(self.work / key), str(out), "--format", kind)
        z = jessl.Embeddings.load(self.work / f"{key}-test.emb")
        files = [str(self.work / f"{data}-test" / str(name)) for name in z.names or ()]
        script, result = self.work / "run_export.py", self.work / f"{key}-{kind}.npy"
        script.write_text(RUN_EXPORT)
        subprocess.run(
            [sys.executable, "-I", str(script), out.name, str(result), *files],
            cwd=self.work,
            check=True,
        )
        x = np.load(result)
        apart = np.abs(x - z.features).max() / z.features.std()
        train = jessl.Embeddings.load(self.work / f"{key}-train.emb")
        again = jessl.Embeddings(x, z.labels, meta=dict(z.meta))
        accuracy = jessl.probe(train, again, duplicates=False).accuracy
        return (
            f"- export --format {kind}, run by the lines of its README: features differ by "
            f"{apart:.1e} standard deviations at most, probe {100 * accuracy:.1f} %."
        )

    def files_of_bands(self, options: list[str]) -> str:
        """The same images with a file for each band, through the same network."""
        source = f"bands:{self.work / 'thirteen-test-files'}/{{name}}_B{{band}}.tif"
        out = str(self.work / "thirteen-files-test.emb")
        run = str(self.work / "thirteen-all")
        self.jessl("thirteen-files", "embed", run, "--data", source, "--out", out, *options)
        apart = np.abs(self.features("thirteen-all") - self.features("thirteen-files")).max()
        return f"- a file for each band, found by a pattern: features differ by {apart:g} at most."

    def files(self, data: str) -> list[Path]:
        """The TIFF files to train on, in their order."""
        return sorted((self.work / f"{data}-train").rglob("*.tif"))

    def features(self, key: str) -> Array:
        """Test features of a case, in the order of their names."""
        import jessl

        z = jessl.Embeddings.load(self.work / f"{key}-test.emb")
        names = [str(name).removesuffix(".tif") for name in z.names or ()]
        return z.features[np.argsort(names)]

    def jessl(self, key: str, *words: str) -> dict[str, Any]:
        """The JSON of a command, from the file of an earlier call where there is one."""
        file = self.work / "results" / f"{key}.json"
        file.parent.mkdir(exist_ok=True)
        if not file.exists():
            say(f"jessl {' '.join(words)}")
            for out in (Path(b) for a, b in pairwise(words) if a == "--out"):
                # of a call that was killed; a table has a folder of its own
                shutil.rmtree(out.parent if out.suffix == ".csv" else out, ignore_errors=True)
            done = subprocess.run(
                [sys.executable, "-m", "jessl", *words, "--json"], capture_output=True, text=True
            )
            if done.returncode:
                raise SystemExit(f"{done.stderr[-2000:]}\nexit {done.returncode}")
            say(done.stderr[-3000:])
            file.write_text(done.stdout)
        result: dict[str, Any] = json.loads(file.read_text())
        return result

    def seconds(self) -> float:
        import resource

        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
