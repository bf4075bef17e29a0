"""The schema of tables: columns of a run table, components of the risk, and names of scores.

Everything that writes or reads a table of runs takes the names and titles from here: report,
selection, sweeps, comparison, zoo and the command line. It imports no torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from jessl.records import HELD_OUT, PRETRAIN_SAMPLE

Kind = Literal["score", "accuracy", "risk", "training"]
Unit = Literal["number", "fraction", "images/s"]


@dataclass(frozen=True)
class Component:
    """A component of the risk (Dubois, Hashimoto and Liang, ICML 2023).

    Attributes:
        name: as jessl writes it, in records and in RiskDecomposition.
        title: in words; short_title: for narrow columns.
        published: its column in the published table of models, and in the zoo.
    """

    name: str
    title: str
    short_title: str
    published: str


COMPONENTS: Final = (
    Component("approximation", "approximation", "approximation", "approx"),
    Component("usability", "usability", "usability", "usability"),
    Component("probe_generalization", "probe generalization", "probe gen.", "probe_gen"),
    Component("encoder_generalization", "encoder generalization", "encoder gen.", "enc_gen"),
)
COMPONENT_NAMES: Final = tuple(component.name for component in COMPONENTS)
PUBLISHED_COMPONENTS: Final = tuple(component.published for component in COMPONENTS)
# usability where no supervised twin was trained: approximation lies in it
MERGED_TITLE: Final = "approximation and usability"


@dataclass(frozen=True)
class ErrorSetting:
    """An amount of labels for which the published table has the test error of a probe.

    Attributes:
        name: in the zoo; title: in words.
        published: its column in the published table.
    """

    name: str
    title: str
    published: str


ERROR_SETTINGS: Final = (
    ErrorSetting("full", "all labels", "train_test"),
    ErrorSetting("30shot", "30 shots", "train-nperclass-30_test"),
    ErrorSetting("1%", "1 % of labels", "train-balsbst-ntrain0.01_test"),
    ErrorSetting("5shot", "5 shots", "train-nperclass-5_test"),
    ErrorSetting("3shot", "3 shots", "train-nperclass-3_test"),
)

# the record of the score that every run has before, during and after training
VIEW_RETRIEVAL: Final = "view_retrieval/backbone"

# the record of the held-out accuracy of an objective that is a classifier
CLASSIFIER_ACCURACY: Final = "accuracy/classifier"

# name and split of the record that compares a run with the weights that it began with
ADAPTATION: Final = "adaptation"

# score -> title, and title in a terminal
_SCORE_TITLES: Final = {
    "rankme": ("RankMe", "RankMe"),
    "normalized_rank": ("RankMe / d", "RankMe/d"),
    "lidar": ("LiDAR", "LiDAR"),
    "view_retrieval": ("view retrieval", "retrieval"),
    "alpha_req": ("alpha-ReQ", "alpha"),
    "twonn": ("intrinsic dimension", "dimension"),
    "uniformity": ("uniformity", "uniformity"),
    "alignment": ("alignment", "alignment"),
}
# scores that are shares of images, which people read in percent
_SHARES: Final = ("view_retrieval",)
# probes whose accuracy a table may hold; "linear" is trained beside the encoder
_PROBE_TITLES: Final = {"logistic": "logistic", "ridge": "ridge", "mlp": "MLP", "knn": "kNN",
                        "linear": "linear"}  # fmt: skip


def score_title(score: str) -> str:
    """A score in words: alpha_req is alpha-ReQ. Options and modules are left out."""
    name = _bare_score(score)
    return _SCORE_TITLES.get(name, (name.replace("_", " "), ""))[0]


def short_score_title(score: str) -> str:
    """A score as a heading in a terminal."""
    name = _bare_score(score)
    return _SCORE_TITLES.get(name, ("", name))[1]


def is_share(score: str) -> bool:
    """Whether a score (of a record with its layer, or alone) is a fraction read in percent."""
    return score.partition(":")[0].partition("/")[0] in _SHARES


def _bare_score(score: str) -> str:
    """The name of `name:option=value` and of `package.module:Name`."""
    name, *rest = score.split(":")
    return rest[0] if rest and "=" not in rest[0] else name


def component_title(name: str, *, merged: bool = False) -> str:
    """A component in words.

    Args:
        name: one of COMPONENT_NAMES, or "risk".
        merged: whether usability holds approximation, for lack of a supervised twin.
    """
    return MERGED_TITLE if merged and name == "usability" else name.replace("_", " ")


def capitalized(title: str) -> str:
    """A title as a heading: with a capital, unless it is a name such as alpha-ReQ."""
    first = title.partition(" ")[0]
    return title if first != first.lower() else title[:1].upper() + title[1:]


@dataclass(frozen=True)
class Column:
    """A measured number in a table of runs.

    Attributes:
        name: rankme_projector; each may have further columns, named with a suffix of SUFFIXES.
        record: the name of the record that holds it: rankme/projector.
        split: of the record.
        title: heading for people.
        kind: what was measured.
        unit: "fraction" for errors and accuracies, which people read in percent.
    """

    name: str
    record: str
    split: str
    title: str
    kind: Kind
    unit: Unit = "number"


def record_column(record: str) -> str:
    """The column that holds a record: rankme_projector for rankme/projector."""
    return record.replace("/", "_")


# groups of metrics in loggers, in the order of a table; others follow
TRAIN_GROUP: Final = "train"
METRIC_GROUPS: Final = (TRAIN_GROUP, "score", "probe", "final", "test")
_METRIC_NAMES: Final = {"learning_rate": "lr"}
# what every logger takes in a name
_NOT_IN_METRICS = re.compile(r"[^\w.\-/]", re.ASCII)


def metric_name(record: str, split: str) -> str:
    """The name of a record in loggers such as TensorBoard: a group and a name.

    `train` has the means of the last steps, `score` and `probe` the evaluation during training
    (on the images held out, or on training images where none are), `final` the evaluation of the
    trained encoder, and `test` what labelled images of a study show.

    Example:
        >>> metric_name("learning_rate", "train"), metric_name("rankme/projector", "heldout")
        ('train/lr', 'score/rankme_projector')
        >>> metric_name("accuracy/knn", "heldout"), metric_name("accuracy/knn", "test")
        ('probe/knn', 'test/accuracy_knn')
    """
    name = _METRIC_NAMES.get(record, record)
    group = "final" if split == "pretrain" else split
    if split in (HELD_OUT, PRETRAIN_SAMPLE):
        group = "probe" if name.startswith("accuracy/") else "score"
        name = name.removeprefix("accuracy/")
    # a name below another one, loss and loss/invariance, is refused by loggers that use folders
    return _NOT_IN_METRICS.sub("_", f"{group}/{name.replace('/', '_')}")


def score_column(score: str, layer: str) -> str:
    """The column of a score at a layer.

    Example:
        >>> score_column("rankme", "projector")
        'rankme_projector'
    """
    return f"{score}_{layer}"


def component_column(name: str) -> str:
    """The column of a component of the risk, or of "total"."""
    return f"risk_{name}"


def accuracy_column(probe: str) -> str:
    """The column of a probe's test accuracy; of few labels: accuracy_5shot."""
    return f"accuracy_{probe}"


def _score(score: str, layer: str) -> Column:
    title = f"{score_title(score)}, {layer}"
    return Column(score_column(score, layer), f"{score}/{layer}", "pretrain", title, "score")


def _accuracy(probe: str) -> Column:
    title = f"Accuracy, {_PROBE_TITLES[probe]}"
    record = f"accuracy/{probe}"
    return Column(accuracy_column(probe), record, "test", title, "accuracy", "fraction")


def _risk(name: str, title: str) -> Column:
    return Column(component_column(name), f"risk/{name}", "test", title, "risk", "fraction")


def _online(probe: str) -> Column:
    title = f"Online, {_PROBE_TITLES[probe]}"
    name = f"online_{accuracy_column(probe)}"
    return Column(name, f"accuracy/{probe}", HELD_OUT, title, "accuracy", "fraction")


# measured columns that every table of runs has, in their order
COLUMNS: Final = (
    _score("rankme", "projector"),
    _score("rankme", "backbone"),
    _accuracy("logistic"),
    _accuracy("knn"),
    _risk("total", "Total risk"),
    *(_risk(one.name, capitalized(one.short_title)) for one in COMPONENTS),
    _online("linear"),
    _online("knn"),
    Column("loss", "loss", "train", "Last loss", "training"),
    Column(
        "images_per_second",
        "images_per_second",
        "train",
        "Images per second",
        "training",
        "images/s",
    ),
)
# what a run is: neither measured nor a hyperparameter
RUN_FACTS: Final = (
    *("run", "path", "method", "parameter", "value", "seed", "chosen", "seconds", "risk_merged"),
    *("data_fingerprint", "diverged"),
)
# what may be known of a measured number, in a column with this suffix
SUFFIXES: Final = ("sd", "low", "high", "debiased", "n", "d")

_SUFFIX = rf"(?:_(?P<suffix>{'|'.join(SUFFIXES)}))?"
LAYER_PATTERN: Final = r"backbone|projector(?:\.[1-9]\d*)?"
_SCORE_COLUMN = re.compile(rf"(?P<score>.+?)_(?P<layer>{LAYER_PATTERN}){_SUFFIX}")
# whole names: loss_weight and accuracy_weight are hyperparameters
_OTHER_COLUMN = re.compile(
    rf"(?:(?P<accuracy>(?:online_)?accuracy_(?:{'|'.join(_PROBE_TITLES)}|[1-9]\d*shot|to_best))"
    rf"|(?P<risk>risk_(?:{'|'.join(COMPONENT_NAMES)}|total))"
    rf"|(?P<training>loss|images_per_second)){_SUFFIX}"
)


@dataclass(frozen=True)
class ParsedColumn:
    """A column of a table of runs that holds something measured.

    Attributes:
        column: the column of the number itself: rankme_projector of rankme_projector_sd.
        kind: what was measured.
        suffix: what of it the column holds, one of SUFFIXES; None: the number itself.
        score, layer: of a score; None for everything else.
    """

    column: str
    kind: Kind
    suffix: str | None = None
    score: str | None = None
    layer: str | None = None


def parse_column(name: str, scores: Iterable[str] | None = None) -> ParsedColumn | None:
    """Read the name of a column; None where it is no measurement.

    Example:
        >>> parse_column("rankme_projector_sd").layer
        'projector'

    Args:
        name: of a column, "alpha_req:first=5_backbone_low" and the like included.
        scores: the scores that exist; None: any name may be a score.
    """
    matched = _OTHER_COLUMN.fullmatch(name)
    if matched is not None:
        kind: Kind = (
            "accuracy" if matched["accuracy"] else "risk" if matched["risk"] else "training"
        )
        return ParsedColumn(matched[kind], kind, matched["suffix"])
    matched = _SCORE_COLUMN.fullmatch(name)
    if matched is None:
        return None
    score, layer = matched["score"], matched["layer"]
    if scores is not None and score.partition(":")[0] not in scores:
        return None
    return ParsedColumn(score_column(score, layer), "score", matched["suffix"], score, layer)


# below so many rows a feature, scores of the spectrum depend strongly on the number of rows
ROWS_PER_FEATURE: Final = 4


def few_rows(n: float, d: float) -> bool:
    """Whether n rows are fewer than 4 d, too few for scores of the spectrum to be compared."""
    return n < ROWS_PER_FEATURE * d
