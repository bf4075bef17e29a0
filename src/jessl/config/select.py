"""Options of `jessl.select` and `jessl.select_checkpoints`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Select:
    """By which label-free score a run is chosen among which runs.

    Attributes:
        runs: run folders, folders that hold run folders, or one .csv or .parquet table of a study
            (a row for each run, columns as jessl report --table writes them).
        by: NAME or NAME/LAYER: view_retrieval/backbone, rankme (at the projector, as published),
            alpha_req:first=5:last=50/backbone, ...; loss, the last training loss; or panel: view
            retrieval, cross-view reliability and the rotation probe vote, and abstain where they do
            not agree. None: view_retrieval/backbone where all runs have it, else rankme.
        scores: other scores to show beside it; they do not affect the choice.
        score_views: recipe of the views for scores of views: simclr, coarse, disjoint, grayscale or
            another preset, the same for all runs; runs that were scored under another are scored
            again from their images. None: as recorded (simclr).
        oracle: record of test images, accuracy/... or risk/..., that shows how much the choice
            loses against the best setting according to labels; it does not affect the choice.
        along: the hyperparameter along which a plateau of ranks is searched, such as lr, cov or
            objective_options.cov; None: the only one that varies.
        plateau: for scores that count directions, choose the first value that reaches the plateau
            around the best, as published; False: always the best.
        force: put runs of several methods, widths or data sets in one order.
    """

    runs: tuple[str, ...]
    by: str | None = None
    scores: str | tuple[str, ...] = ()
    score_views: str | None = None
    oracle: str = "accuracy/logistic"
    along: str | None = None
    plateau: bool = True
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class SelectCheckpoints:
    """By which label-free score a checkpoint of a run is chosen.

    Attributes:
        run: the run folder; the run need not be finished.
        by: NAME or NAME/LAYER, as for `Select`, without loss: view_retrieval/backbone, or rankme
            (at the projector), which in two long trainings took the first checkpoint, 11 points
            below the best.
        data: SRC, where the images of the run are now; None: where they were.
    """

    run: str
    by: str = "view_retrieval/backbone"
    data: str | None = None
