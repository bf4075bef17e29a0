"""Options of `jessl.decompose`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Decompose:
    """How the error of a probe is split into four components.

    Attributes:
        train: embeddings with labels of images that the encoder was pretrained on.
        test: embeddings with labels of images that neither encoder nor probe was trained on.
        supervised: train and test embeddings of the same architecture trained with labels.
        probe: kind of probe: logistic, ridge or mlp (knn counts a training row as its own
            neighbour and has no train error).
        options: options of the probe, as for jessl probe: C 0.1; penalty 0.1; hidden 512-512.
        estimator: estimator of the risk on held-out images: crossfit pools the held-out errors of
            all rows (leave-one-out for ridge, else `folds`), which the tuning has measured anyway;
            published uses one stratified subset of `n_sub` rows, tunes on the others, and is two to
            three times noisier.
        order: published or union, the order in which training gets harder.
        tuning: shared (hyperparameters are chosen once, on train, for all risks) or per-term (each
            risk has its own, as published; risks of a probe on its own rows, also on train and
            test together in the union order, use those with the least training error; no risk on
            test is tuned on test). The train error
            depends strongly on them, and so does the boundary between usability and probe
            generalization.
        risk: error (0-1) or log_loss (nats; logistic and mlp).
        shots: labelled images per class of a few-shot decomposition.
        fraction: share of the labels of a few-shot decomposition, 0 to 1.
        draws: how often the few images are drawn, at least 1.
        folds: number of folds of crossfit; None: 10 up to 5,000 rows, else 5 (ridge:
            leave-one-out). A few-shot decomposition uses them for everything that depends on all
            labels.
        n_sub: images of the subset of the published estimator; None: the smaller of the test rows
            and a fifth of the training rows (whole groups where there are groups).
        duplicates: count test rows that are (nearly) identical to training rows, and compare the
            class means of train and test with those of a random split.
        device: cpu, cuda or cuda:N.
        class_names: names of the labels 0, 1, ... of a set whose labels are numbers only, where
            another has class names: a,b,c or a text file with a name on each line.
        seed: random seed of folds, subsets and resamples.
    """

    train: str
    test: str
    supervised: tuple[str, str] | None = None
    probe: str = "logistic"
    options: dict[str, int | float | str] = field(default_factory=dict)
    estimator: str = "crossfit"
    order: str = "published"
    tuning: str = "shared"
    risk: str = "error"
    shots: int | None = None
    fraction: float | None = None
    draws: int = 5
    folds: int | None = None
    n_sub: int | None = None
    duplicates: bool = True
    device: str = "cpu"
    class_names: str | None = None
    seed: int = 0
