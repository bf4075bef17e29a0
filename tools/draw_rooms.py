"""Draw the rooms of src/jessl and the arrows between them: docs/architecture.svg.

    python tools/draw_rooms.py            # write the picture
    python tools/draw_rooms.py --check    # fail where the picture is not that of the code

A room is a folder or file of src/jessl, its height on the sheet is its layer in pyproject.toml, the
arrows are the imports that `grimp` (the library behind import-linter) reads. An arrow that follows
from two others is left out, so that the picture can be read; the check is on all of them.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from html import escape
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "architecture.svg"
WIDTH, ROW, BOX, MARGIN = 960, 92, 44, 16
# one line a room, in the reader's words
CAPTIONS = {
    "cli": "one file a command",
    "demo": "the story in minutes",
    "launch": "SLURM",
    "claims": "of the papers, tested",
    "integrations": "other frameworks",
    "sweeps": "many trainings",
    "selection": "choose without labels",
    "comparison": "compare encoders",
    "classification": "labels from few",
    "curation": "what to label first",
    "zoo": "tables of models",
    "report": "pages and charts",
    "exporting": "for other libraries",
    "pretraining": "the verb pretrain",
    "extraction": "the verb embed",
    "training": "loop, step, state",
    "risk": "four components",
    "data": "sources, loader",
    "views": "augmentations",
    "encoders": "nets, checkpoints",
    "objectives": "one file a method",
    "scores": "without labels",
    "probes": "with labels",
    "tracking": "TensorBoard and others",
    "embeddings": "features on disk",
    "maps": "images in a plane",
    "conclusion": "did it help?",
    "runs": "run folders",
    "recipes": "published settings",
    "config": "options of the verbs",
    "schema": "names and columns",
    "records": "one JSON line each",
    "core": "files, processes, log",
}


def layers() -> list[list[str]]:
    """The layers of the import contract, the highest first."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(
        c for c in settings["tool"]["importlinter"]["contracts"] if c["type"] == "layers"
    )
    return [
        [room.strip() for room in layer.replace(":", "|").split("|")]
        for layer in contract["layers"]
    ]


def arrows(rooms: set[str]) -> set[tuple[str, str]]:
    """(importing room, imported room), without those that follow from two others."""
    graph = grimp.build_graph("jessl", cache_dir=None)
    every = set()
    for module in graph.modules:
        importer = module.split(".")[1] if "." in module else ""
        for imported in graph.find_modules_directly_imported_by(module):
            target = imported.split(".")[1] if "." in imported else ""
            if importer in rooms and target in rooms and importer != target:
                every.add((importer, target))
    below: dict[str, set[str]] = {room: {b for a, b in every if a == room} for room in rooms}

    def reach(room: str) -> set[str]:
        return below[room] | {far for near in below[room] for far in reach(near)}

    return {(a, b) for a, b in every if not any(b in reach(near) for near in below[a] if near != b)}


def lines_of(room: str) -> int:
    """Lines of Python in a room."""
    place = ROOT / "src" / "jessl" / room
    files = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    return sum(file.read_text(encoding="utf-8").count("\n") for file in files)


def draw() -> str:
    """The picture, as SVG."""
    rows = layers()
    at: dict[str, tuple[float, float, float]] = {}
    for k, row in enumerate(rows):
        width = (WIDTH - MARGIN) / len(row) - MARGIN
        width = min(width, 220)
        start = (WIDTH - len(row) * (width + MARGIN) + MARGIN) / 2
        for i, room in enumerate(row):
            at[room] = (start + i * (width + MARGIN), MARGIN + k * ROW, width)
    height = 2 * MARGIN + (len(rows) - 1) * ROW + BOX
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="system-ui, sans-serif">',
        "<title>The rooms of jessl and what they import</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
        'markerHeight="6" orient="auto"><path d="M0 0 8 4 0 8z" fill="#8a94a6"/></marker></defs>',
    ]
    for a, b in sorted(arrows(set(at))):
        xa, ya, wa = at[a]
        xb, yb, wb = at[b]
        x1, y1, x2, y2 = xa + wa / 2, ya + BOX, xb + wb / 2, yb - 1
        bend = (y2 - y1) / 2
        parts.append(
            f'<path d="M{x1:.0f} {y1:.0f} C{x1:.0f} {y1 + bend:.0f} {x2:.0f} {y2 - bend:.0f} '
            f'{x2:.0f} {y2:.0f}" fill="none" stroke="#8a94a6" marker-end="url(#head)">'
            f"<title>{a} imports {b}</title></path>"
        )
    for room, (x, y, width) in at.items():
        hundreds = max(1, round(lines_of(room) / 100))
        parts += [
            f'<rect x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BOX}" rx="6" fill="#eef3fb" '
            'stroke="#4a6fa5"/>',
            f'<text x="{x + width / 2:.0f}" y="{y + 19}" text-anchor="middle" font-size="15" '
            f'font-weight="600" fill="#1d2a3f">{escape(room)}</text>',
            f'<text x="{x + width / 2:.0f}" y="{y + 35}" text-anchor="middle" font-size="11" '
            f'fill="#4b5870">{escape(CAPTIONS[room])} · {hundreds / 10:.1f}k</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def shape(picture: str) -> list[str]:
    """What the check compares: rooms and arrows, not the number of lines."""
    return [line.split(" · ")[0] for line in picture.splitlines()]


def main() -> int:
    """Write the picture, or compare it with the code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, do not write")
    check = parser.parse_args().check
    picture = draw()
    if not check:
        PICTURE.write_text(picture, encoding="utf-8")
        return 0
    if not PICTURE.exists() or shape(PICTURE.read_text(encoding="utf-8")) != shape(picture):
        print("docs/architecture.svg is out of date: python tools/draw_rooms.py")
        return 1
    print("architecture: fine")
    return 0


if __name__ == "__main__":
    sys.exit(main())
