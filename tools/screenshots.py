"""One small real example of every page that jessl writes, and its pictures for docs/reports.md.

    python -m tools.screenshots --zoo all_results.csv    # 5 minutes on two cores
    python -m tools.screenshots --only curate            # one page again; the others stay

The pages are made by the commands of the documentation on the 1,797 digits of scikit-learn, in the
folder `--work`, where what exists is not made again. `--zoo` is the published table, a file or its
address (docs/zoo.md). The pictures go to docs/pages: each page at 1280 and at 390 px, its
first 1,600 and 2,000 px, in the colours of a palette, so that the repository stays small.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits
from tools.chromium import Browser

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pages"
# width -> height in px
SIZES = {1280: 1600, 390: 2000}
_STUDY = """\
[base]
data = "digits"
objective = "vicreg"
encoder = "smallconv:16"
size = 16
view_options = {flip = 0}
epochs = 8
batch_size = 256
holdout = 0
evaluate_epochs = 2
keep_checkpoints = 1
workers = 1
[space]
lr = [1e-4, 5e-4, 2e-3, 1e-2, 5e-2]
[study]
scores = ["rankme"]
"""


def make_run(work: Path, zoo: str) -> Path:
    """A training on digits, the run that other pages use."""
    options = "--epochs 20 --evaluate-epochs 2 --view-options flip 0 --out run"
    jessl(work, f"pretrain --data digits {options}")
    return work / "run" / "report.html"


def make_demo(work: Path, zoo: str) -> Path:
    """The demo, with a check by labels."""
    jessl(work, "demo --quick --out demo")
    return work / "demo" / "report.html"


def make_study(work: Path, zoo: str) -> Path:
    """A sweep of the learning rate, without labels."""
    (work / "study.toml").write_text(_STUDY, encoding="utf-8")
    jessl(work, "sweep study.toml --jobs 2 --out study")
    return work / "study" / "report.html"


def make_encoders(work: Path, zoo: str) -> Path:
    """The trained encoder beside untrained nets and raw pixels."""
    made(work, make_run, zoo)
    encoders = "run random:smallconv:32 random:resnet_cifar:20 pixels:8"
    jessl(work, f"select --encoders {encoders} --data digits --out encoders")
    return work / "encoders" / "encoders.html"


def make_curate(work: Path, zoo: str) -> Path:
    """What to label first among the digits, where five of 200 labels are wrong."""
    made(work, make_run, zoo)
    write_labels(work / "labels.csv", 200, wrong_every=40)
    options = "--labels labels.csv --allow-missing --budget 30"
    jessl(work, f"curate run --data digits {options} --out curated")
    return work / "curated" / "curation.html"


def make_classify(work: Path, zoo: str) -> Path:
    """All digits from the labels of 100."""
    made(work, make_run, zoo)
    write_labels(work / "few.csv", 100)
    jessl(work, "classify --encoder run --data digits --labels few.csv --out predictions.csv")
    return work / "predictions.html"


def make_zoo(work: Path, zoo: str) -> Path:
    """The table of 169 published encoders."""
    jessl(work, f"zoo {zoo} --out zoo")
    return work / "zoo" / "report.html"


PAGES: dict[str, Callable[[Path, str], Path]] = {
    "run": make_run,
    "study": make_study,
    "demo": make_demo,
    "encoders": make_encoders,
    "curate": make_curate,
    "classify": make_classify,
    "zoo": make_zoo,
}


def made(work: Path, make: Callable[[Path, str], Path], zoo: str) -> Path:
    """The page of a maker, made where it is not there yet."""
    note = work / f"{make.__name__}.page"
    if not note.exists():
        note.write_text(str(make(work, zoo).relative_to(work)), encoding="utf-8")
    return work / note.read_text(encoding="utf-8")


def write_labels(path: Path, number: int, wrong_every: int = 0) -> None:
    """The labels of the first digits as a table, some of them wrong."""
    lines = ["path,label"]
    for k, label in enumerate(load_digits().target[:number]):
        wrong = wrong_every and k % wrong_every == wrong_every - 1
        lines.append(f"{k},{(label + wrong) % 10}")
    path.write_text("\n".join([*lines, ""]), encoding="utf-8")


def jessl(work: Path, arguments: str) -> None:
    """Run a command in a folder."""
    print(f"jessl {arguments}", flush=True)
    command = [sys.executable, "-m", "jessl", *arguments.split()]
    subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL)


def compact(png: bytes) -> Image.Image:
    """A picture in 96 colours that keep rare ones, without the noise of dithering."""
    image = Image.open(io.BytesIO(png)).convert("RGB")
    return image.quantize(96, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)


def main() -> int:
    """Make the pages and draw them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--work", default="screenshots", help="folder of the examples")
    parser.add_argument("--zoo", default=None, help="the table of 169 encoders")
    parser.add_argument("--only", nargs="+", choices=PAGES, default=list(PAGES), help="pages")
    arguments = parser.parse_args()
    if "zoo" in arguments.only and arguments.zoo is None:
        parser.error("--zoo: expected the table of docs/zoo.md, or --only without zoo")
    work = Path(arguments.work).resolve()
    work.mkdir(parents=True, exist_ok=True)
    PICTURES.mkdir(exist_ok=True)
    with Browser() as browser:
        for name in arguments.only:
            page = made(work, PAGES[name], arguments.zoo)
            for width, height in SIZES.items():
                # what sticks to the window lies at its lower edge, and pictures below are loaded
                tab = browser.open(page, width=width, height=height)
                file = PICTURES / f"{name}-{width}.png"
                compact(tab.screenshot(most_px=height)).save(file, optimize=True)
                print(f"{file.relative_to(ROOT)}: {file.stat().st_size / 1e3:.0f} kB", flush=True)
                tab.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
