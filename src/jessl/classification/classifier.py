"""The classifier: a scikit-learn estimator on frozen features that says how well it will do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from jessl.classification.abstention import Abstention, check_max_error, choose_threshold
from jessl.classification.accuracy import ExpectedAccuracy, expected_accuracy
from jessl.classification.calibration import calibration_error, fit_temperature
from jessl.classification.distance import LabelledNeighbours
from jessl.classification.files import (
    HEADER,
    check_shapes,
    known_fields,
    read_folder,
    write_folder,
)
from jessl.classification.training_rows import training_rows
from jessl.core.progress import ProgressCallback
from jessl.core.validation import check_int
from jessl.embeddings import Embeddings
from jessl.probes.base import Features
from jessl.probes.held_out import cross_validate, log_softmax
from jessl.probes.linear import LinearProbe
from jessl.probes.standardize import release_pages

_ENTRIES = 2**22


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the classifier says about some rows.

    Attributes:
        label: int64 [n], place of the likeliest class in `classes_`; ties go to the first.
        probability: float64 [n], calibrated.
        second, second_probability: of the next likeliest class.
        distance: float64 [n], share of the labelled rows that are nearer to another labelled row
            than this row is to the nearest of them; 0..1.
        far: bool [n], farther from the labelled rows than 99 % of them are from each other.
        abstain: bool [n], less probable than the threshold of `max_error`; False without one.
    """

    label: NDArray[np.int64]
    probability: NDArray[np.float64]
    second: NDArray[np.int64]
    second_probability: NDArray[np.float64]
    distance: NDArray[np.float64]
    far: NDArray[np.bool_]
    abstain: NDArray[np.bool_]


class EmbeddingClassifier(ClassifierMixin, BaseEstimator):
    """Logistic probe on frozen features: calibrated, with an expected accuracy and abstention.

    Multinomial logistic regression on standardised features. C is chosen by the log-loss of
    cross-validated rows, from whose held-out decisions also come the temperature of the
    probabilities, the expected accuracy with its interval, and the threshold of `max_error`.

    Example:
        classifier = EmbeddingClassifier().fit(z.features[:100], z.labels[:100])
        print(classifier.expected_accuracy_.text)
        classifier.predict_proba(z.features[100:])

    Args:
        C: inverse strength of the penalty, in scikit-learn's convention; None: chosen.
        folds: of the cross-validation; None: as many as the median class has rows, 2 to 10.
        max_error: error rate, 0..1, that the predictions without abstention keep with 90 %
            confidence; None: no abstention.
        seed: of the folds.

    Attributes:
        classes_: the labels in sorted order.
        expected_accuracy_: `ExpectedAccuracy`.
        abstention_: `Abstention`, or None without `max_error`.
        held_out_confidence_, held_out_wrong_: calibrated probability of the prediction of each
            labelled row by the fit without it, and whether that is wrong; empty where no row can
            be held out.
        temperature_: divides the logits.
        confusion_: int64 [classes, classes], held-out rows by label and prediction.
        calibration_error_: (before, after) the temperature, of held-out rows; None without any.
        C_: the chosen C; curve_: the log-loss of each C that was tried.
        probe_: the linear probe; neighbours_: the labelled rows that distances refer to.
        n_features_in_: number of features.
    """

    def __init__(
        self,
        *,
        C: float | None = None,
        folds: int | None = None,
        max_error: float | None = None,
        seed: int = 0,
    ) -> None:
        self.C = C
        self.folds = folds
        self.max_error = max_error
        self.seed = seed

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        groups: Any = None,
        progress: ProgressCallback | None = None,
    ) -> EmbeddingClassifier:
        """Fit on labelled rows.

        Args:
            X: [n, d] features, or Embeddings. Of Embeddings, rows without a label are left out,
                rows of one group or one image stay in one fold, and the classes are the names in
                `meta["classes"]` where there are any.
            y: [n] labels of any type that sorts; None: those of the Embeddings.
            groups: [n], equal for rows that belong together (a patient); None: those of the
                Embeddings.
            progress: called with (values of C tried, of how many).

        Raises:
            ValueError: for NaN, infinite or no features, one class, lengths that differ.
        """
        X, y, units = training_rows(X, y, groups)
        X, y = validate_data(self, X, y, dtype=[np.float32, np.float64])
        check_classification_targets(y)
        self.classes_, place = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"labels: expected at least two classes, got one class, {self.classes_[0]!r}, for "
                f"all {len(y)} rows"
            )
        if self.max_error is not None:
            check_max_error(self.max_error)
        if self.folds is not None:
            check_int("folds", self.folds, 2)
        place = place.astype(np.int64)
        held = cross_validate(
            X,
            place,
            C=self.C,
            folds=self.folds,
            units=units,
            seed=check_int("seed", self.seed, 0),
            progress=progress,
        )
        self.probe_: LinearProbe = held.probe
        self.C_ = float(held.options["C"])
        self.curve_ = held.curve
        known = held.known
        decision = held.decision[known]
        self.temperature_ = fit_temperature(decision, place[known])
        alone = int((np.bincount(place) == 1).sum())
        self.expected_accuracy_: ExpectedAccuracy = expected_accuracy(
            held.wrong,
            known,
            held.folds,
            units,
            each=float(np.median(np.bincount(place))),
            alone=alone,
        )
        predicted = held.decision.argmax(axis=1)
        confidence = np.exp(log_softmax(held.decision, self.temperature_)).max(axis=1)
        wrong = predicted != place
        shape = (len(self.classes_), len(self.classes_))
        self.confusion_ = np.zeros(shape, np.int64)
        np.add.at(self.confusion_, (place[known], predicted[known]), 1)
        self.calibration_error_ = None
        if known.any():
            before = np.exp(log_softmax(decision)).max(axis=1)
            self.calibration_error_ = (
                calibration_error(before, ~wrong[known]),
                calibration_error(confidence[known], ~wrong[known]),
            )
        usable = slice(0, len(place) if held.folds else 0)
        self.held_out_confidence_, self.held_out_wrong_ = confidence[usable], wrong[usable]
        self._set_abstention()
        self.neighbours_ = LabelledNeighbours.of(X, self.seed)
        return self

    def with_max_error(self, max_error: float | None) -> EmbeddingClassifier:
        """The same fitted classifier with another error rate of the predictions that it makes.

        Example:
            strict = classifier.with_max_error(0.02)

        Raises:
            ValueError: for a rate that is not above 0 and below 1.
        """
        check_is_fitted(self)
        if max_error is not None:
            check_max_error(max_error)
        other = copy(self)
        other.max_error = max_error
        other._set_abstention()
        return other

    def _set_abstention(self) -> None:
        self.abstention_: Abstention | None = None
        if self.max_error is not None:
            self.abstention_ = choose_threshold(
                self.held_out_confidence_, self.held_out_wrong_, float(self.max_error)
            )

    def predict(self, X: Any) -> NDArray[Any]:
        """The likeliest class of each row: [n] of the type of `classes_`."""
        labels = np.concatenate([d.argmax(axis=1) for _, d in self._decisions(X)])
        predicted: NDArray[Any] = self.classes_[labels]
        return predicted

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Calibrated probabilities [n, classes], in the order of `classes_`."""
        parts = [np.exp(log_softmax(d, self.temperature_)) for _, d in self._decisions(X)]
        return np.concatenate(parts)

    def details(self, X: Any) -> Predictions:
        """Predictions with second guess, distance to the labelled rows, and abstention.

        Example:
            sure = ~classifier.details(z).abstain

        Args:
            X: [n, d] features, or Embeddings; a memory map is read in blocks of rows.
        """
        parts: list[tuple[NDArray[Any], ...]] = []
        for x, decision in self._decisions(X):
            probability = np.exp(log_softmax(decision, self.temperature_))
            rows = np.arange(len(probability))
            first = probability.argmax(axis=1)
            best = probability[rows, first]
            probability[rows, first] = -1
            second = probability.argmax(axis=1)
            distance = self.neighbours_.quantile(x)
            parts.append((first, best, second, probability[rows, second], distance))
        first, best, second, next_best, distance = (
            np.concatenate(columns) for columns in zip(*parts, strict=True)
        )
        return Predictions(
            first,
            best,
            second,
            next_best,
            distance,
            LabelledNeighbours.far(distance),
            self._abstains(best),
        )

    def save(self, path: str | Path, about: Mapping[str, object] | None = None) -> Path:
        """Write a folder (safetensors and JSON) that `load` reads; nothing is pickled.

        Args:
            path: a new folder.
            about: JSON values to keep beside it, such as the identity of the encoder.

        Raises:
            ValueError: when `path` exists, and for labels that are neither texts nor whole numbers.
        """
        check_is_fitted(self)
        classes = self.classes_.tolist()
        if not all(isinstance(label, str | int) for label in classes):
            raise ValueError(
                f"classes: expected texts or whole numbers to save, got {self.classes_.dtype}"
            )
        values = {
            "kind": "classes",
            "classes": classes,
            "features": self.n_features_in_,
            "params": self.get_params(),
            "C": self.C_,
            "curve": self.curve_,
            "temperature": self.temperature_,
            "calibration_error": self.calibration_error_,
            "expected_accuracy": asdict(self.expected_accuracy_),
            "abstention": None if self.abstention_ is None else asdict(self.abstention_),
            "about": dict(about or {}),
        }
        arrays: dict[str, NDArray[Any]] = {
            "mean": self.probe_.mean,
            "scale": self.probe_.scale,
            "weights": self.probe_.weights,
            "bias": self.probe_.bias,
            "confusion": self.confusion_,
            "held_out_confidence": self.held_out_confidence_,
            "held_out_wrong": self.held_out_wrong_,
            "neighbours": self.neighbours_.rows,
            "distances": self.neighbours_.distances,
        }
        write_folder(Path(path), values, arrays)
        return Path(path)

    @classmethod
    def load(cls, path: str | Path) -> EmbeddingClassifier:
        """Read what `save` wrote; `about_` holds what was kept beside it.

        Raises:
            ValueError: naming the file that is missing, changed or no classifier.
        """
        header, arrays = read_folder(Path(path))
        try:
            if header["kind"] != "classes":
                raise ValueError(f"{path}: expected a classifier of classes, got {header['kind']}")
            return cls(**header["params"])._restored(header, arrays)
        except (KeyError, TypeError, AttributeError, IndexError) as error:
            raise ValueError(f"{Path(path) / HEADER}: no header of a classifier: {error}") from None

    def _restored(
        self, header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> EmbeddingClassifier:
        """Take over what `save` wrote."""
        classes, d = header["classes"], int(header["features"])
        shapes = {
            "mean": (d,),
            "scale": (d,),
            "weights": (d, len(classes)),
            "bias": (len(classes),),
            "confusion": (len(classes), len(classes)),
            "neighbours": (len(arrays["distances"]), d),
            "held_out_wrong": arrays["held_out_confidence"].shape,
        }
        check_shapes(arrays, shapes)
        self.temperature_ = float(header["temperature"])
        if not 0 < self.temperature_ < np.inf:
            raise ValueError(f"temperature: expected a number above 0, got {self.temperature_}")
        self.classes_, self.n_features_in_ = np.array(classes), d
        self.C_, self.curve_ = float(header["C"]), header["curve"]
        error = header["calibration_error"]
        self.calibration_error_ = None if error is None else (float(error[0]), float(error[1]))
        self.confusion_ = arrays["confusion"]
        expected = known_fields(ExpectedAccuracy, header["expected_accuracy"])
        self.expected_accuracy_ = ExpectedAccuracy(**expected)
        self.held_out_confidence_ = arrays["held_out_confidence"]
        self.held_out_wrong_ = arrays["held_out_wrong"]
        self._set_abstention()
        self.probe_ = LinearProbe(
            np.arange(len(classes)),
            arrays["mean"],
            arrays["scale"],
            arrays["weights"],
            arrays["bias"],
            converged=True,
            probabilistic=True,
        )
        self.neighbours_ = LabelledNeighbours(arrays["neighbours"], arrays["distances"])
        self.about_ = header["about"]
        return self

    def _abstains(self, probability: NDArray[np.float64]) -> NDArray[np.bool_]:
        abstention = self.abstention_
        if abstention is None:
            return np.zeros(len(probability), bool)
        if abstention.threshold is None:
            return np.ones(len(probability), bool)
        return probability < abstention.threshold

    def _decisions(self, X: Any) -> Iterator[tuple[Features, NDArray[np.float64]]]:
        """Blocks of rows with their logits; the features are not copied as a whole."""
        check_is_fitted(self)
        x = X.features if isinstance(X, Embeddings) else X
        step = max(1, _ENTRIES // self.n_features_in_)
        if not isinstance(X, Embeddings):
            x = validate_data(self, X, reset=False, dtype=[np.float32, np.float64])
        elif x.shape[1] != self.n_features_in_:
            raise ValueError(f"X: expected {self.n_features_in_} features, got {x.shape[1]}")
        for start in range(0, len(x), step):
            part = np.asarray(x[start : start + step])
            bad = int((~np.isfinite(part).all(axis=1)).sum())
            if bad:
                raise ValueError(f"X: {bad} rows from row {start} on hold NaN or infinite values")
            yield part, self.probe_.decision_function(part)
            release_pages(x)
