"""Few-shot probes: probes on several random draws of a few labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jessl.core.deprecation import renamed_arguments
from jessl.core.progress import ProgressCallback
from jessl.core.statistics import student_t_half_width
from jessl.core.validation import check_int
from jessl.embeddings import Embeddings
from jessl.probes.bootstrap import Estimate, Resampled
from jessl.probes.duplicates import DuplicateReport, near_duplicates
from jessl.probes.labelled import ClassNames, labelled_pair
from jessl.probes.probe import probe
from jessl.probes.result import FewShot, ProbeResult

SHOTS = (3, 5, 10, 30)
FRACTIONS = (0.01, 0.1)
DRAWS = 5


@renamed_arguments(told="progress")
def few_shot(
    train: Embeddings,
    test: Embeddings | None = None,
    *,
    shots: Sequence[int] = SHOTS,
    fractions: Sequence[float] = (),
    draws: int = DRAWS,
    seed: int = 0,
    duplicates: bool = True,
    class_names: ClassNames = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> list[FewShot]:
    """Probes on a few labelled images, each setting drawn several times.

    Hyperparameters are tuned within the few images of a draw, unless protocol="published".

    Example:
        for result in few_shot(train, test, shots=(3, 10)):
            print(result.shots, result.accuracy)

    Args:
        train, test: as for `probe`; without `test` each draw is tested on the rows that it leaves.
        shots: training images per class, one setting each.
        fractions: shares of the training images (0..1), one setting each.
        draws: of the training images, at least 1.
        seed: of the first draw; those of the others are derived from it.
        duplicates: count test rows that are (nearly) training rows.
        class_names: names of the labels of the set that has none, as for `probe`.
        progress: called with (probes done, of how many).
        options: kind, protocol, tuning, folds, device and the options of `probe`.

    Returns:
        A FewShot for each of shots and then fractions, in order.

    Raises:
        ValueError: as for `probe`, for no setting, and for draws below 1.
    """
    draws, seed = check_int("draws", draws, 1), check_int("seed", seed, 0)
    for name, several in (("shots", shots), ("fractions", fractions)):
        if isinstance(several, str) or not isinstance(several, Sequence):
            raise ValueError(f"{name}: expected a sequence of numbers, got {several!r}")
    settings: list[dict[str, Any]] = [{"shots": k} for k in shots]
    settings += [{"fraction": share} for share in fractions]
    if not settings:
        raise ValueError("shots, fractions: expected at least one value, got none")
    summaries, done = [], 0
    # near duplicates are counted against all training images, not only the drawn ones
    options = {"duplicates": False, **options}
    twins = None
    if duplicates and test is not None:
        pair = labelled_pair(train, test, class_names)
        twins = near_duplicates(pair.train.x, pair.test.x)
    for one in settings:
        results = []
        for draw in range(draws):
            results.append(
                probe(
                    train, test, seed=seed + 1000 * draw, class_names=class_names, **options, **one
                )
            )
            done += 1
            if progress is not None:
                progress(done, draws * len(settings))
        summaries.append(_summarise(results, twins, same_rows=test is not None))
    return summaries


def _summarise(
    results: list[ProbeResult], twins: DuplicateReport | None, *, same_rows: bool
) -> FewShot:
    first, draws = results[0], len(results)
    errors = [r.error for r in results]
    mean = math.fsum(errors) / draws
    if draws == 1:
        sd, low, high = None, first.low, first.high
    else:
        sd = float(np.std(errors, ddof=1))
        # the draws share the test images, whose choice adds variance of its own
        wrong, units = _mean_errors(results, same_rows)
        rng = np.random.default_rng([first.params["seed"], 7])
        by_test = Resampled({"e": wrong}, rng, units)["e"].var()
        half = student_t_half_width(math.sqrt(sd**2 / draws + by_test), draws - 1)
        low, high = max(0.0, mean - half), min(1.0, mean + half)
    tuned = {k for r in results for k in (r.curve or {})} - {"error", "log_loss"}
    return FewShot(
        shots=first.params["shots"],
        fraction=first.params["fraction"],
        rows=first.params["train_rows"],
        error=Estimate(mean, low, high),
        accuracy=Estimate(1 - mean, 1 - high, 1 - low),
        sd=sd,
        errors=tuple(errors),
        chosen=tuple({k: r.params[k] for k in sorted(tuned)} for r in results),
        params={
            **{k: first.params[k] for k in ("kind", "tuned_on", "protocol", "standardised")},
            "draws": draws,
            "converged": all(r.params["converged"] for r in results),
            "unseen_test_rows": max(r.params["unseen_test_rows"] for r in results),
            "unseen_class_names": max((r.params["unseen_class_names"] for r in results), key=len),
            "unlabelled_train_rows": first.params["unlabelled_train_rows"],
            "unlabelled_test_rows": first.params["unlabelled_test_rows"],
            "near_duplicates": twins,
            "test_rows_of_train_groups": first.params["test_rows_of_train_groups"],
            "test_rows": first.params["test_rows"],
            "seeds": [r.params["seed"] for r in results],
            "interval": "t over draws, with the spread of test images"
            if draws > 1
            else first.params["interval"],
        },
    )


def _mean_errors(
    results: list[ProbeResult], same_rows: bool
) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """For each test image the share of the draws that got it wrong, and what is resampled together.

    Without a test set an image is tested by the draws that were not fitted on it; images that
    every draw was fitted on are left out.
    """
    if same_rows:
        return 1.0 - np.mean([r.correct for r in results], axis=0), results[0].units
    ids, first, place = np.unique(
        np.concatenate([r.ids for r in results]), return_index=True, return_inverse=True
    )
    wrong = np.concatenate([~r.correct for r in results])
    mean = np.bincount(place, wrong, len(ids)) / np.bincount(place, minlength=len(ids))
    if results[0].units is None:
        return mean, None
    return mean, np.concatenate([r.units for r in results if r.units is not None])[first]
