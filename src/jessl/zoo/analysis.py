"""The whole analysis of a table of models: sections of one form, in a fixed order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from jessl.core.validation import check_int, unknown_name
from jessl.zoo.components import components
from jessl.zoo.controlled import controlled
from jessl.zoo.linear import linear
from jessl.zoo.measures import measures
from jessl.zoo.ranking import ranking
from jessl.zoo.section import Row, plain, section
from jessl.zoo.table import Models
from jessl.zoo.transfer import few_shot
from jessl.zoo.trees import trees
from jessl.zoo.validation import validation

Section = Callable[..., dict[str, Any]]  # (models, seed) -> what section.section returns


def counts(models: Models, seed: int = 0) -> dict[str, object]:
    """How many models, objectives and architectures there are, and what is missing."""
    frame = models.frame
    rows: list[Row] = [{"what": "models", "count": len(frame)}]
    for name in ("objective", "ssl_mode", "family", "architecture", "pretraining_data"):
        if name in frame.columns:
            rows.append({"what": f"values of {name}", "count": frame[name].nunique()})
    both = ["architecture", "patch_size"]
    if set(both) <= set(frame.columns):
        pairs = len(frame[both].dropna().drop_duplicates())
        rows.append({"what": "architectures with patch size", "count": pairs})
    if models.components:
        known = len(frame.dropna(subset=list(models.components)))
        rows.append({"what": "models with every component", "count": known})
    for name in ("choices", "statistics", "metadata"):
        rows.append({"what": f"columns of {name}", "count": len(getattr(models, name))})
    missing = [
        {"column": column, "known": len(frame) - int(n), "missing": int(n)}
        for column, n in frame.isna().sum().items()
        if n
    ]
    return section(
        "What is in the table?",
        {
            "counts": ("models, and different values among them", rows),
            "missing": ("columns with missing values; they are left out, never filled", missing),
        },
        models.source["notes"],
    )


# name -> function of (models, seed), in the order of the report
SECTIONS: dict[str, Section] = {
    "counts": counts,
    "ranking": ranking,
    "components": components,
    "measures": measures,
    "few_shot": few_shot,
    "controlled": controlled,
    "linear": linear,
    "trees": trees,
    "validation": validation,
}
# sections that need the extra `zoo`
_XGBOOST = ("trees", "validation")
_HIGHEST_SEED = 2**31 - 1  # of xgboost


def analyse(
    models: Models,
    *,
    sections: Sequence[str] | None = None,
    top: int = 5,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> dict[str, object]:
    """Every section of the analysis, as JSON values.

    Args:
        models: the table, from `read_table`.
        sections: names of SECTIONS; None: all, except those that need xgboost if it is not
            installed.
        top: length of the lists of the best models.
        seed: of resamples and folds; the same seed gives the same numbers.
        progress: called with the name of the section that begins, the number of sections done, and
            their total.

    Returns:
        source (of the table), seed, left_out (names), and sections: name -> question, tables,
        notes. A table consists of `about` and `rows`.

    Raises:
        ValueError: as `check_request`, before anything is computed.
    """
    names, left_out = check_request(sections, top, seed)
    results = {}
    for done, name in enumerate(names):
        if progress is not None:
            progress(name, done, len(names))
        more = {"top": top} if name == "ranking" else {}
        results[name] = SECTIONS[name](models, seed, **more)
    answer: dict[str, object] = plain(
        {"source": models.source, "seed": seed, "left_out": left_out, "sections": results}
    )
    return answer


def check_request(
    sections: Sequence[str] | None, top: int, seed: int
) -> tuple[list[str], tuple[str, ...]]:
    """The sections to compute and those left out, in the requested order.

    Raises:
        ValueError: for an unknown section, a requested section that needs xgboost if it is not
            installed, `top` below 1, and a seed outside 0..2**31 - 1.
    """
    if check_int("top", top, None) < 1:
        raise ValueError(f"top: expected a whole number of at least 1, got {top}")
    if check_int("seed", seed, 0) > _HIGHEST_SEED:
        raise ValueError(f"seed: expected at most {_HIGHEST_SEED}, got {seed}")
    has = find_spec("xgboost") is not None
    if sections is None:
        left_out = () if has else _XGBOOST
        return [name for name in SECTIONS if name not in left_out], left_out
    names = list(dict.fromkeys(sections))
    for name in names:
        if name not in SECTIONS:
            raise ValueError(unknown_name("section", name, SECTIONS))
        if name in _XGBOOST and not has:
            raise ValueError(
                f"section {name!r} needs the package xgboost, which is not installed: "
                "pip install 'jessl[zoo]'"
            )
    return names, ()
