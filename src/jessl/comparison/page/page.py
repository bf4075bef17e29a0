"""The page of a comparison of encoders: numbers, orders, neighbours, and what they may mean."""

from __future__ import annotations

import base64
from pathlib import Path

from jessl.comparison.page import dots, matrix
from jessl.comparison.page.labels import (
    SCORES,
    Row,
    amount,
    colour,
    columns_of,
    encoders_of,
    good_of,
)
from jessl.comparison.page.table import components, failures, table
from jessl.core.files import atomic_write, read_json
from jessl.report.charts.svg import Markup, join, tag
from jessl.report.formatting import finite
from jessl.report.pages.document import document
from jessl.report.pages.sections import together

FORMAT = "jessl.encoders"
# of one picture: 64 photographs of 64 px are below 1 MB
MOST_PICTURE_BYTES = 4_000_000
_PNG = b"\x89PNG\r\n\x1a\n"

Section = tuple[str, str, list[Markup | None]]


def write_encoders_page(folder: str | Path) -> Path:
    """Write encoders.html from encoders.json and the pictures beside it.

    Args:
        folder: what `compare_encoders` wrote.

    Returns:
        The file: it loads nothing, whatever stands in the names.

    Raises:
        ValueError: naming the file when it is missing or is no comparison of encoders.
    """
    folder = Path(folder)
    answer = read_json(folder / "encoders.json")
    if not isinstance(answer, dict) or answer.get("format") != FORMAT:
        raise ValueError(f"{folder / 'encoders.json'}: is no comparison of encoders")
    path = folder / "encoders.html"
    with atomic_write(path) as part:
        part.write_text(encoders_page(answer, folder), encoding="utf-8")
    return path


def encoders_page(answer: Row, folder: Path) -> str:
    """The whole page as text, one file that loads nothing.

    Args:
        answer: encoders.json; keys that are not there are left out.
        folder: where the pictures lie.
    """
    made: list[Section] = [
        ("table", "All encoders", _table(answer)),
        ("labels", "With labels", _labels(answer)),
        ("scores", "Without labels", _scores(answer)),
        ("orders", "Do the columns agree?", _orders(answer)),
        ("neighbours", "Nearest neighbours", _neighbours(answer, folder)),
        ("reading", "How to read this", _reading(answer)),
        ("about", "How it was measured", [_about(answer)]),
    ]
    kept = [(key, head, inside) for key, head, inside in made if any(inside)]
    title = "Which encoder suits these images?"
    body = tag(
        "main",
        tag("p", "jessl select --encoders", class_="kicker"),
        tag("h1", title),
        tag("ul", *(tag("li", together(s)) for s in _findings(answer)), class_="findings"),
        tag(
            "nav",
            *(tag("a", head, href=f"#{key}") for key, head, _ in kept),
            aria_label="Contents",
        ),
        *(tag("section", tag("h2", head), *inside, id=key) for key, head, inside in kept),
        tag("footer", "Written by jessl. One file; it loads nothing and sends nothing."),
    )
    return document(title, body)


def _findings(answer: Row) -> list[str]:
    """What was compared, and the first thing that can be said of it."""
    told, notes = answer.get("settings") or {}, [str(n) for n in answer.get("notes") or []]
    good, every = len(good_of(answer)), len(encoders_of(answer))
    images = amount(finite(told.get("images")))
    said = f"{good} encoders" if good == every else f"{good} of {every} encoders"
    return [*notes[:1], f"{said} on {images} images of {_short(str(told.get('data') or ''))}."]


def _short(name: str) -> str:
    return name.rstrip("/").rpartition("/")[2] or name


def _figure(caption: str, *inside: Markup | None) -> Markup:
    return tag("figure", *inside, tag("figcaption", together(caption)))


def _table(answer: Row) -> list[Markup | None]:
    words = (
        "A heading sorts by its column. Small print holds 95 % intervals; those of RankMe and "
        "RankMe / d belong to the value that is corrected for few images. Below milliseconds "
        "stand the quartiles over batches."
    )
    return [tag("p", together(words), class_="lead"), table(answer), failures(answer)]


def _labels(answer: Row) -> list[Markup | None]:
    panels = dots.errors(answer)
    if not any(panels):
        return []
    told = answer.get("settings") or {}
    where = "the test images" if told.get("test") else "a quarter of the labelled images"
    caption = (
        f"0-1 errors of {told.get('probe')} probes on {where}, the same for every encoder, with "
        "95 % intervals. The paired difference says more than two intervals side by side: what "
        "makes an image hard for both is not in it. An encoder whose bar reaches 0 there is not "
        "told apart from the best."
    )
    found: list[Markup | None] = [_figure(caption, tag("div", *panels, class_="panels"))]
    if (parts := components(answer)) is not None:
        words = (
            "Where the error comes from. Usability: what a probe cannot read out even of the "
            "images it was fitted on. Probe generalization: what is lost for lack of labelled "
            "images. Encoder generalization: what is lost on images that pretraining has not "
            "seen. Components are signed and sum to the error."
        )
        found += [tag("h3", "Components of the error"), _figure(words, parts)]
    return found


def _scores(answer: Row) -> list[Markup | None]:
    panels = dots.scores(answer)
    if not any(panels):
        return []
    caption = (
        "A panel a column, each in its own order, best first by the rule below its title. Bars "
        "are 95 % intervals for the choice of images; those of RankMe and RankMe / d belong to "
        "the value that is corrected for few images, so they can lie beside their dot. A ring "
        "instead of a dot: fewer than 4 d images, or no interval."
    )
    return [_figure(caption, tag("div", *panels, class_="panels"))]


def _orders(answer: Row) -> list[Markup | None]:
    found: list[Markup | None] = []
    if (placed := matrix.places(answer)) is not None:
        caption = (
            "Place of each encoder by each column. = marks the first and those that the images "
            "do not tell apart from it (intervals that overlap; of the error the paired one)."
        )
        found.append(_figure(caption, placed))
    if (drawn := matrix.agreement(answer)) is not None:
        caption = (
            "Kendall's tau-b between the orders of two columns: 1 where they are the same, −1 "
            "where one is the other turned round. All columns see the same features: agreement is "
            "no evidence that they are right."
        )
        found += [tag("h3", "Kendall's tau"), _figure(caption, drawn)]
    return found


def _neighbours(answer: Row, folder: Path) -> list[Markup | None]:
    shown, missing = [], []
    for row in good_of(answer):
        name = str(row.get("name"))
        data = _png(folder, row.get("neighbours"))
        if data is None:
            missing.append(name)
            continue
        source = "data:image/png;base64," + base64.b64encode(data).decode()
        image = tag("img", src=source, alt=f"Nearest neighbours by {name}", class_="picture")
        dot = tag("span", class_=f"dot {colour(answer, name)}")
        shown.append(tag("div", tag("h3", dot, name), image, class_="panel"))
    if not shown:
        return []
    caption = (
        "The same images for every encoder, one a row; to the right those that the encoder finds "
        "most alike (cosine), the nearest first. Look whether it puts together what belongs "
        "together for you, or what shares a colour or a background."
    )
    if missing:
        caption += f" Without a picture: {', '.join(missing)}."
    return [_figure(caption, tag("div", *shown, class_="panels"))]


def _png(folder: Path, name: object) -> bytes | None:
    """The bytes of a picture inside of the folder; None where there is none."""
    if not isinstance(name, str):
        return None
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    if path.stat().st_size > MOST_PICTURE_BYTES:
        return None
    data = path.read_bytes()
    return data if data.startswith(_PNG) else None


def _reading(answer: Row) -> list[Markup | None]:
    notes = [str(n) for n in answer.get("notes") or []]
    told: list[Markup | None] = []
    if notes:
        told.append(tag("ul", *(tag("li", together(n)) for n in notes), class_="notes"))
    doubts = [(str(row.get("name")), row.get("warnings") or []) for row in encoders_of(answer)]
    count = sum(len(found) for _, found in doubts)
    if count:
        lists = [
            join([tag("h3", name), tag("ul", *(tag("li", str(w)) for w in found), class_="notes")])
            for name, found in doubts
            if found
        ]
        told.append(tag("details", tag("summary", f"Warnings of single numbers ({count})"), *lists))
    return told


def _about(answer: Row) -> Markup:
    told = answer.get("settings") or {}
    good = good_of(answer)
    devices = sorted({str((row.get("cost") or {}).get("device") or "") for row in good} - {""})
    sizes = sorted({int((row.get("cost") or {}).get("batch_size") or 0) for row in good} - {0})
    views = (
        f"{told.get('n_views')} views ({told.get('views')}) of "
        f"{amount(finite(told.get('view_images')))} images"
        if told.get("views")
        else ""
    )
    scores = [
        join([tag("b", SCORES[c][0]), f": {SCORES[c][2]} ({_source(good, c)}); {SCORES[c][1]}. "])
        for c in columns_of(answer)
    ]
    labelled = finite(told.get("labelled"))
    took = (
        "the encoder alone, without reading images, when it was embedded (other work on the "
        f"machine slows it): median over full batches after the first "
        f"({', '.join(map(str, sizes))} images; {'; '.join(devices)})"
        if devices
        else ""
    )
    facts: list[tuple[str, Markup | str]] = [
        ("Images", f"{told.get('data')}: {amount(finite(told.get('images')))} of "
         f"{amount(finite(told.get('of_images')))}, the same for every encoder"),
        ("Checksum", str(told.get("data_checksum") or "")),
        ("Labels", "none" if not labelled else f"{amount(labelled)} images; of errors only"),
        ("Test images", str(told.get("test") or "")),
        ("Groups", str(told.get("groups") or "")),
        ("Features", "backbone, float32, one central view by each encoder's own preprocessing"),
        ("Random views", views),
        ("Columns", join(scores)),
        ("Time", took),
        ("Intervals", "95 %, each for itself; over images, not over trainings of an encoder"),
        ("Seed", str(told.get("seed", ""))),
    ]  # fmt: skip
    kept = (join([tag("dt", name), tag("dd", said)]) for name, said in facts if said)
    return tag("dl", *kept, class_="facts")


def _source(good: list[Row], column: str) -> str:
    for row in good:
        held = (row.get("scores") or {}).get(column) or {}
        source = (held.get("params") or {}).get("source")
        if source:
            return str(source)
    return "source not told"
