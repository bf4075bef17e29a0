"""Options of `jessl.probe`."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Which probe to fit on which embeddings, and how its hyperparameters are chosen.

    Attributes:
        train: embeddings with labels to fit on; hyperparameters are chosen on them alone.
        test: embeddings with labels to test on; None: every labelled row of train is tested once,
            by a probe that was fitted without it.
        kind: logistic (multinomial, on features standardised with the training rows; C from 1e-6 to
            10), ridge (least squares on one-hot labels), mlp (a perceptron) or knn (a cosine vote
            with weights exp(cosine / temperature)).
        options: options of the probe: C 0.1 (logistic), penalty 0.1 (ridge), hidden 512-512
            weight_decay 0.01 lr 0.001 epochs 100 (mlp; hidden is 2048-2048 if left out), k 20
            temperature 0.07 (knn; the defaults).
        tuning: how hyperparameters are chosen: folds (cross-validation), leave-one-out (ridge, in
            closed form) or part (a stratified held-out fifth of train); None: folds for logistic,
            leave-one-out for ridge, part for mlp.
        folds: number of folds of the cross-validation; None: 10 up to 5,000 rows, else 5.
        shots: images per class to fit on, drawn by the seed.
        fraction: share of the labels of each class to fit on, 0 to 1, at least one image of each.
        protocol: what few-shot probes are tuned on: few (their few images) or published (the
            other training labels, at most 50,000, as in the tables of Dubois et al. 2023).
        duplicates: count test rows that are (nearly) identical to training rows, and compare the
            class means of train and test with those of a random split.
        device: cpu, cuda or cuda:N, for logistic, mlp and knn.
        class_names: names of the labels 0, 1, ... of a set whose labels are numbers only, where
            another has class names: a,b,c or a text file with a name on each line.
        seed: random seed of the choice of images, of the folds and of random parts of a fit.
    """

    train: str
    test: str | None = None
    kind: str = "logistic"
    options: dict[str, int | float | str] = field(default_factory=dict)
    tuning: str | None = None
    folds: int | None = None
    shots: int | None = None
    fraction: float | None = None
    protocol: str = "few"
    duplicates: bool = True
    device: str = "cpu"
    class_names: str | None = None
    seed: int = 0
