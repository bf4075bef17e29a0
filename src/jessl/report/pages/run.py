"""The page: sections in order, each with its figure and the words that explain it."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

from jessl.core.files import atomic_write
from jessl.report.charts import curves, layers, ranking, risk_bars, scatter
from jessl.report.charts.svg import Markup, join, tag
from jessl.report.formatting import percent
from jessl.report.model import ReportData, read_report
from jessl.report.pages import run_table, sections
from jessl.report.pages.document import document

FILE = "report.html"
MOST_PICTURE_BYTES = 2_500_000
_PNG = b"\x89PNG\r\n\x1a\n"


def write_report(folder: str | Path) -> Path:
    """Write `folder`/report.html, one file that needs no network, and return its path.

    `folder` is a run (config.json, records.jsonl, optionally views.png and neighbours.png) or a
    study (study.json, records.jsonl, runs/NAME/ each a run). Parts without records are left out
    and named under "What was run". Pictures above 2.5 MB are left out as well.

    Raises:
        ValueError: naming the folder when it is neither a run nor a study, or a file in it
            that is not the JSON object that it should be.
    """
    report = read_report(folder)
    path = Path(folder) / FILE
    page = render(report)
    with atomic_write(path) as part:
        part.write_text(page, encoding="utf-8")
    return path


def render(report: ReportData) -> str:
    """The whole page as text."""
    left_out: list[str] = []
    made = [
        _ranking(report, left_out),
        _scatter(report, left_out),
        _training(report, left_out),
        _layers(report, left_out),
        _spectra(report, left_out),
        _risk(report, left_out),
        _picture(report, "views", "Sample views", VIEWS, left_out),
        _picture(report, "neighbours", "Nearest neighbours", NEIGHBOURS, left_out),
    ]
    made += [_what(report, left_out), _table(report)]
    kept = [section for section in made if section is not None]
    title = str(report.told.get("title") or report.name)
    body = tag(
        "main",
        tag("p", f"jessl {report.kind}", class_="kicker"),
        tag("h1", title),
        sections.findings(report),
        sections.cards(report),
        tag(
            "nav", *(tag("a", head, href=f"#{key}") for key, head, _ in kept), aria_label="Contents"
        ),
        *(tag("section", tag("h2", head), inside, id=key) for key, head, inside in kept),
        tag("footer", "Written by jessl. One file; it loads nothing and sends nothing."),
    )
    return document(title, body)


Section = tuple[str, str, Markup]

SPREADS = ("spread/projector", "spread/backbone")
FROM_ZERO = ("learning_rate", "images_per_second", *SPREADS)
SPREAD = (
    " Spread is that of the directions of a layer's outputs in one step: 1 where they are "
    "isotropic, 0 where all images have one direction (collapse)."
)
VIEWS = (
    "What the encoder saw. Views of one image stand together: the method pulls their "
    "representations to one place, so what differs between them is what it learns to ignore."
)
NEIGHBOURS = (
    "Each row begins with an image; the images whose representations are nearest to it follow, "
    "the nearest first. Good representations put alike content next to each other."
)


def _figure(caption: str, *inside: Markup | None) -> Markup:
    return tag("figure", *inside, tag("figcaption", sections.together(caption)))


def _both(draw: Callable[..., Markup | None], report: ReportData) -> Markup | None:
    """A drawing for wide and one for narrow screens; the style sheet shows one of them."""
    wide, slim = draw(report, roomy=True), draw(report, roomy=False)
    if wide is None or slim is None:
        return None
    return join([tag("div", wide, class_="roomy"), tag("div", slim, class_="slim")])


def _ranking(report: ReportData, left_out: list[str]) -> Section | None:
    if report.kind == "run":
        return None
    drawn = _both(ranking.draw, report)
    if drawn is None:
        left_out.append("The ranking: no run has a value of the criterion yet.")
        return None
    name = ranking.axis_title(report.criterion)
    caption = (
        f"Configurations of each method, the highest {name} first. Large dots are means over "
        "seeds and bars one standard deviation; small rings are single runs. With one seed the "
        "bar is the 95 % interval of the measurement. ✓ marks what the score chose in each method, "
        "the dark dot the run that it chose"
    )
    if report.accuracy:
        probe = report.accuracy.removeprefix("accuracy/")
        caption += (
            f". Accuracy ({probe} probe, test data) was revealed after the choice; ★ marks the "
            "most accurate. Where the score works, both columns fall together"
        )
    else:
        caption += ". No labels were revealed, so there is no accuracy beside it"
    return "ranking", "Ranking without labels", _figure(caption + ".", drawn)


def _scatter(report: ReportData, left_out: list[str]) -> Section | None:
    if report.kind == "run":
        return None
    drawn = _both(scatter.draw, report)
    if drawn is None:
        left_out.append("RankMe against accuracy: no run has both numbers.")
        return None
    caption = (
        f"Every mark is a run: its {ranking.axis_title(report.criterion)} against the accuracy "
        "of a probe, with 95 % intervals (cut at the frame; those of RankMe belong to the value "
        "that is corrected for few rows). ρ is Spearman's rank correlation "
        "within a method (1: the score orders the runs as their accuracy does; 0: it says "
        "nothing). Compare within a colour: between methods the score need not be comparable"
    )
    _, far = scatter.baselines(report)
    if far:
        caption += ". Outside the picture: " + ", ".join(f"{n} {percent(v)}" for n, v in far)
    return (
        "scatter",
        "Does the score follow accuracy?",
        _figure(caption + ".", scatter.legend(report), drawn),
    )


def _training(report: ReportData, left_out: list[str]) -> Section | None:
    splits = report.judged_on()
    wanted = [("loss", "train", "loss", False)]
    for name, said, percents in (
        ("rankme/projector", "RankMe, projector", False),
        ("rankme/backbone", "RankMe, backbone", False),
        ("accuracy/linear", "accuracy, linear", True),
        ("accuracy/knn", "accuracy, kNN", True),
    ):
        for split in splits:
            end = ", %" if percents else ""
            wanted.append((name, split, f"{said}, {sections.WHERE[split]}{end}", percents))
    if report.kind == "study":
        wanted = [one for one in wanted if one[0] in ("loss", "rankme/projector")]
    else:
        run = next(report.runs())
        parts = dict.fromkeys(r.name for r in run.records if r.name.startswith("loss/"))
        wanted += [(name, "train", name.replace("/", ": "), False) for name in parts]
        wanted += [(name, "train", name.replace("/", ", "), False) for name in SPREADS]
        wanted += [("learning_rate", "train", "learning rate", False)]
        wanted += [("images_per_second", "train", "images per second", False)]
    panels = []
    for name, measured_on, said, percents in wanted:
        for index, group in enumerate(report.groups):
            title = f"{group.method}: {said}" if report.kind == "study" else said
            panels.append(
                curves.over_training(
                    group,
                    index,
                    name,
                    measured_on,
                    title,
                    percents=percents,
                    from_zero=name in FROM_ZERO,
                )
            )
    if not any(panels):
        left_out.append("Training curves: the records hold no finite losses.")
        return None
    caption = (
        "One line a run, coloured by the value of the hyperparameter (its size runs along the "
        "colour scale); values stand at the ends of the lines, and seeds share a colour. Losses "
        "of different values are on different scales by construction, so compare their shapes. "
        "Gaps are steps without a finite number."
        if report.kind == "study"
        else "Losses are means over the steps since the record before. Gaps are steps without a "
        "finite number."
    )
    if report.kind == "run" and any(next(report.runs()).last(name, "train") for name in SPREADS):
        caption += SPREAD
    judged = "RankMe" if report.kind == "study" else sections.judged_names(report)
    if splits and judged:
        caption += " " + sections.judged_where(judged, splits)
    return "training", "Over training", _figure(caption, tag("div", *panels, class_="panels"))


def _layers(report: ReportData, left_out: list[str]) -> Section | None:
    if report.kind == "study":
        return None
    run = next(report.runs())
    told = layers.judged(run)
    if told is None:
        if any(record.name.startswith("accuracy/") for record in run.records):
            left_out.append("Layer by layer: no probes of the layers were recorded.")
        return None
    drawn = tag("div", layers.bars(told), layers.over_training(told), class_="panels")
    return "layers", "Layer by layer", _figure(layers.caption(told), drawn)


def _spectra(report: ReportData, left_out: list[str]) -> Section | None:
    panels = []
    for layer in ("projector", "backbone"):
        for index, group in enumerate(report.groups):
            title = f"{group.method}: {layer}" if report.kind == "study" else layer
            panels.append(curves.spectrum(group, index, f"spectrum/{layer}", title))
    if not any(panels):
        left_out.append("Spectra: the records hold no singular values.")
        return None
    caption = (
        "Singular values of the embeddings, divided by the largest, from the first to the last; "
        "both axes are logarithmic. A flat line uses all its dimensions (high RankMe); a steep "
        "fall or a cliff means that few dimensions carry everything. Values below 10⁻⁹ of the "
        "largest are rounding and are not drawn."
    )
    return "spectra", "Spectra", _figure(caption, tag("div", *panels, class_="panels"))


def _risk(report: ReportData, left_out: list[str]) -> Section | None:
    drawn = _both(risk_bars.draw, report)
    if drawn is None:
        left_out.append("Risk components: no decomposition was recorded.")
        return None
    caption = (
        "Where the error of each run comes from. Components to the right of zero add error, "
        "those to the left take it away; none is cut at zero, and together they give the total "
        "(diamond). Thin lines are 95 % intervals, the line below a bar that of the total. "
    )
    if "approximation" in risk_bars.names(report):
        caption += (
            "Approximation: what the architecture cannot express. "
            "Usability: what a linear probe cannot read out"
            + (
                "; without a supervised twin it is approximation and usability in one number. "
                if True in risk_bars.merged_flags(report)
                else ". "
            )
        )
    else:
        caption += (
            "Approximation and usability: what the architecture cannot express or a linear probe "
            "cannot read out (one number, as no supervised twin was trained). "
        )
    caption += (
        "Probe generalization: what the probe loses for lack of labelled images. "
        "Encoder generalization: what is lost on images that pretraining has not seen."
    )
    return "risk", "Where the error comes from", _figure(caption, risk_bars.legend(report), drawn)


def _picture(
    report: ReportData, name: str, head: str, caption: str, left_out: list[str]
) -> Section | None:
    path = report.picture(name)
    if path is None:
        left_out.append(f"{head}: there is no {name}.png.")
        return None
    data = path.read_bytes()
    if not data.startswith(_PNG):
        left_out.append(f"{head}: {name}.png is no PNG file.")
        return None
    if len(data) > MOST_PICTURE_BYTES:
        left_out.append(
            f"{head}: {name}.png has {len(data) / 1e6:.1f} MB, at most "
            f"{MOST_PICTURE_BYTES / 1e6:.1f} MB are embedded."
        )
        return None
    # an image header: width is big-endian at byte 16; small images are shown with sharp pixels
    width = int.from_bytes(data[16:20], "big")
    source = "data:image/png;base64," + base64.b64encode(data).decode()
    tiny = width < 480
    image = tag(
        "img",
        src=source,
        alt=head,
        width=2 * width if tiny else width,
        class_="picture tiny" if tiny else "picture",
    )
    run = report.pictured_run() if report.kind == "study" else None
    whose = f" Shown for the run {run.name}." if run is not None else ""
    return name, head, _figure(caption + whose, image)


def _what(report: ReportData, left_out: list[str]) -> Section:
    pictured = report.pictured_run()
    shown = report.chosen_runs() or ([pictured] if pictured is not None else [])
    tables = [sections.settings(run) for run in shown]
    return "what", "What was run", join([sections.facts(report, left_out), *tables])


def _table(report: ReportData) -> Section | None:
    made = run_table.table(report)
    if made is None:
        return None
    words = (
        "Every run with every number; small print holds values corrected for few rows (debiased) "
        "and 95 % intervals, which belong to the corrected value where there is one. "
        "A heading sorts by its column."
    )
    return "table", "All numbers", join([tag("p", words, class_="lead"), made])
