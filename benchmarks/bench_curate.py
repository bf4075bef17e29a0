"""Does `jessl curate` help? Labels chosen or drawn, and planted faults against baselines.

    python benchmarks/bench_curate.py choose --set cifar10 FEATURES.npz --out records/DATE.md
    python benchmarks/bench_curate.py errors --set cifar10 FEATURES.npz
    python benchmarks/bench_curate.py duplicates --images cifar10 TRAIN.npz ENCODER
    python benchmarks/bench_curate.py outliers --images cifar10 ONE.npz ENCODER --images ...
    python benchmarks/bench_curate.py time --rows 100000 --features 2048

choose: accuracy of the probe of `jessl classify` on images that are left out, after
10, 20, 50 and 100 images of the pool are labelled. A draw divides the set into pool (3 quarters)
and test anew; all methods see the same pool, so that each is paired with random choice.
errors: 5 % of the labels are replaced by another class; cleanlab takes part where it is installed,
with the probabilities of jessl. duplicates: copies of 10 % of the images, saved again as JPEG,
resized and cropped, beside imagededup's perceptual hash where it is installed (`pixels`). outliers:
1 % of the images are of another of the sets, each in turn; baselines are the rule of before, the
nearest neighbours, the distance to the mean and the isolation forest. Finished draws are kept in
--work.
"""

from __future__ import annotations

import argparse
import io
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.neighbors import NearestNeighbors

import jessl
from harness import say, tell
from jessl.curation import label_errors
from jessl.curation.duplicates import near_duplicates
from jessl.curation.label_errors import find_label_errors
from jessl.curation.nearest import nearest_rows
from jessl.curation.outliers import find_outliers, mean_distance
from jessl.curation.picking.base import Pool
from jessl.curation.picking.methods import METHODS, label_first
from jessl.curation.space import space_of
from jessl.probes.held_out import cross_validate

BUDGETS = (10, 20, 50, 100)
# images that copies are planted among: all pairs of hashes are compared
MOST_WITH_COPIES = 600
Features = NDArray[np.float32]
Labels = NDArray[np.int64]


def kept(work: Path, name: str, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A measurement, from the file of an earlier one where there is one."""
    file = work / f"{name}.json"
    if not file.exists():
        file.write_text(json.dumps(measure()))
    result: dict[str, Any] = json.loads(file.read_text())
    return result


def opened(path: str) -> tuple[Features, Labels]:
    """Features with labels."""
    z = jessl.Embeddings.load(path)
    assert z.labels is not None
    return z.features, z.labels


def accuracy(x: Features, y: Labels, test: Features, true: Labels, seed: int) -> float:
    """Of the probe of `jessl classify` fitted on a few rows."""
    classes, place = np.unique(y, return_inverse=True)
    if len(classes) == 1:
        return float((true == classes[0]).mean())
    probe = cross_validate(x, place, seed=seed).probe
    return float((classes[probe.decision_function(test).argmax(axis=1)] == true).mean())


def choose_draw(x: Features, y: Labels, draw: int) -> dict[str, Any]:
    """Accuracies and numbers of classes of all methods and budgets on one division."""
    order = np.random.default_rng([draw, 1]).permutation(len(y))
    pool, test = order[: len(y) * 3 // 4], order[len(y) * 3 // 4 :]
    test = test[:2500]
    space = space_of(x[pool])
    near = nearest_rows(space)
    every = np.ones(len(pool), bool)
    density = mean_distance(near, every, 20)
    state = Pool(space.rows, density, np.zeros(0, np.int64), every)
    result: dict[str, Any] = {}
    for method in METHODS:
        for budget in (b for b in BUDGETS if b <= len(pool)):
            rows = pool[label_first(state, budget, method, draw).rows]
            value = accuracy(x[rows], y[rows], x[test], y[test], draw)
            result[f"{method} {budget}"] = [value, len(np.unique(y[rows]))]
    return result


def choose_table(sets: dict[str, tuple[Features, Labels]], draws: int, work: Path) -> list[str]:
    """Mean accuracies, and paired differences from random with their standard errors."""
    lines = ["| set | budget | " + " | ".join(METHODS) + " |"]
    lines += ["|---|---:|" + "---:|" * len(METHODS)]
    wins: dict[str, list[float]] = defaultdict(list)
    classes = ["", "Classes that the labelled images cover, mean:", "", *lines[:2]]
    for name, (x, y) in sets.items():
        results = []
        for draw in range(draws):
            say(f"{name}, draw {draw + 1} of {draws}")
            results.append(
                kept(work, f"choose-{name}-{draw}", lambda: choose_draw(x, y, draw))  # noqa: B023
            )
        for budget in (b for b in BUDGETS if f"random {b}" in results[0]):
            cells, counts = [], []
            base = np.array([r[f"random {budget}"][0] for r in results])
            for method in METHODS:
                value = np.array([r[f"{method} {budget}"][0] for r in results])
                counts.append(f"{np.mean([r[f'{method} {budget}'][1] for r in results]):.1f}")
                if method == "random":
                    cells.append(f"{value.mean():.3f}")
                    continue
                gain = value - base
                error = gain.std(ddof=1) / np.sqrt(draws)
                wins[method].append(100 * gain.mean())
                cells.append(f"{value.mean():.3f} ({100 * gain.mean():+.1f} ± {200 * error:.1f})")
            lines.append(f"| {name} | {budget} | {' | '.join(cells)} |")
            classes.append(f"| {name} | {budget} | {' | '.join(counts)} |")
    means = [f"{method} {np.mean(v):+.1f}" for method, v in wins.items()]
    worst = [f"{method} {np.min(v):+.1f}" for method, v in wins.items()]
    lines += ["", f"Mean difference from random, points: {', '.join(means)}."]
    lines += [f"Worst: {', '.join(worst)}."]
    return [*lines, *classes]


def precision_recall(found: NDArray[np.int64], planted: NDArray[np.int64]) -> list[float]:
    """[precision, recall, listed]."""
    both = len(np.intersect1d(found, planted))
    return [both / max(1, len(found)), both / len(planted), float(len(found))]


def errors_draw(x: Features, y: Labels, draw: int, most: int) -> dict[str, Any]:
    """5 % of the labels of some images replaced; precision and recall of each rule."""
    rng = np.random.default_rng([draw, 2])
    some = np.sort(rng.permutation(len(y))[:most])
    x, y = x[some], y[some]
    classes, y = np.unique(y, return_inverse=True)
    wrong = rng.choice(len(y), len(y) // 20, replace=False)
    noisy = y.copy()
    noisy[wrong] = (noisy[wrong] + rng.integers(1, len(classes), len(wrong))) % len(classes)
    held = cross_validate(x, noisy, seed=draw)
    # the same probabilities for all rules
    with mock.patch.object(label_errors, "cross_validate", return_value=held):
        errors = find_label_errors(x, noisy, seed=draw)
    result = {
        "jessl": precision_recall(errors.rows, wrong),
        "jessl, first 5 %": precision_recall(errors.rows[: len(wrong)], wrong),
        "accuracy": errors.accuracy,
    }
    p = np.exp(held.decision - held.decision.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    own = p[np.arange(len(noisy)), noisy]
    result["any other prediction"] = precision_recall(
        np.flatnonzero(p.argmax(axis=1) != noisy), wrong
    )
    result["lowest 5 % of own probability"] = precision_recall(np.argsort(own)[: len(wrong)], wrong)
    try:
        from cleanlab.filter import find_label_issues
    except ImportError:
        return result
    for rule in ("prune_by_noise_rate", "confident_learning"):
        rows = find_label_issues(
            noisy, p, filter_by=rule, return_indices_ranked_by="normalized_margin", n_jobs=1
        )
        result[f"cleanlab {rule}"] = precision_recall(rows, wrong)
        result[f"cleanlab {rule}, first 5 %"] = precision_recall(rows[: len(wrong)], wrong)
    return result


def mean_table(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Mean precision, recall and number of listed rows of each rule."""
    lines = ["| set | rule | precision | recall (range) | listed |", "|---|---|---:|---:|---:|"]
    for name, draws in results.items():
        for rule, value in draws[0].items():
            if isinstance(value, list):
                cells = np.array([draw[rule] for draw in draws])
                p, r, n = cells.mean(axis=0)
                low, high = cells[:, 1].min(), cells[:, 1].max()
                lines.append(
                    f"| {name} | {rule} | {p:.2f} | {r:.2f} ({low:.2f} to {high:.2f}) | {n:,.0f} |"
                )
    return lines


def embedded(encoder: str, images: list[NDArray[np.uint8]] | NDArray[np.uint8]) -> Features:
    """Features of images of one size."""
    x = np.stack([*images])
    if encoder == "pixels":
        return x.reshape(len(x), -1).astype(np.float32)
    z = jessl.embed(encoder, x)
    assert isinstance(z, jessl.Embeddings)
    return z.features


def copies_of(image: NDArray[np.uint8]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The same image as others have it."""
    picture = Image.fromarray(image)
    side = picture.size
    for quality in (90, 50):
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=quality)
        yield f"JPEG {quality}", np.asarray(Image.open(file))
    small = picture.resize((side[0] * 3 // 4, side[1] * 3 // 4), Image.Resampling.BICUBIC)
    yield "resized", np.asarray(small.resize(side, Image.Resampling.BICUBIC))
    for share in (0.95, 0.85):
        cut = [round(s * (1 - share) / 2) for s in side]
        box = (cut[0], cut[1], side[0] - cut[0], side[1] - cut[1])
        yield (
            f"cropped {share:.0%}",
            np.asarray(picture.crop(box).resize(side, Image.Resampling.BICUBIC)),
        )


def images_of(path: str, most: int) -> NDArray[np.uint8]:
    """uint8 [n, h, w] or [n, h, w, 3]."""
    x: NDArray[np.uint8] = np.load(path)["x"][:most]
    return x


def pairs_of_groups(groups: Iterable[Iterable[int]]) -> set[frozenset[int]]:
    """All pairs of rows that are in one group."""
    return {frozenset(pair) for group in groups for pair in combinations(group, 2)}


def pairs_by_hash(images: list[NDArray[np.uint8]], most: int = 10) -> set[frozenset[int]]:
    """Near pairs by imagededup's perceptual hash, at its own threshold of 10 bits of 64."""
    from imagededup.methods import PHash

    hasher = PHash()
    codes = [hasher.encode_image(image_array=as_rgb(image)) for image in images]
    bits = np.unpackbits(np.array([list(bytes.fromhex(code)) for code in codes], np.uint8), axis=1)
    apart = (bits[:, None] != bits[None]).sum(axis=2, dtype=np.int16)
    one, two = np.nonzero(np.triu(apart <= most, k=1))
    return {frozenset(pair) for pair in zip(one.tolist(), two.tolist(), strict=True)}


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """uint8 [h, w, 3]."""
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def duplicates_of(x: NDArray[np.uint8], encoder: str, draw: int) -> dict[str, Any]:
    """Precision and recall of pairs, by kind of copy: of jessl, and of imagededup's hash.

    Pairs that are near without a planted copy are no mistakes: the sets have copies of their own.
    """
    rng = np.random.default_rng([draw, 3])
    x = x[np.sort(rng.permutation(len(x))[:MOST_WITH_COPIES])]
    rows = np.sort(rng.choice(len(x), len(x) // 10, replace=False))
    kinds: dict[str, list[NDArray[np.uint8]]] = defaultdict(list)
    for row in rows.tolist():
        for kind, copy in copies_of(x[row]):
            kinds[kind].append(copy)
    z = embedded(encoder, x)

    def by_jessl(copies: list[NDArray[np.uint8]]) -> set[frozenset[int]]:
        both = np.concatenate([z, embedded(encoder, copies)]) if copies else z
        near = nearest_rows(space_of(both))
        groups = near_duplicates(near, both, np.zeros(len(both))).groups
        return pairs_of_groups(group.tolist() for group in groups)

    rules: dict[str, Callable[[list[NDArray[np.uint8]]], set[frozenset[int]]]] = {"jessl": by_jessl}
    if encoder.startswith("pixels") and find_spec("imagededup"):
        rules["imagededup PHash"] = lambda copies: pairs_by_hash([*x, *copies])
    result: dict[str, Any] = {}
    for name, rule in rules.items():
        base = rule([])
        result[f"{name}, nothing planted"] = len(base)
        for kind, copies in kinds.items():
            planted = {frozenset((row, len(x) + k)) for k, row in enumerate(rows.tolist())}
            found = rule(copies)
            # a copy of an image that has a copy already is near to both
            new = {pair for pair in found if max(pair) >= len(x) or pair not in base}
            right = len(new & planted)
            result[f"{name}, {kind}"] = [
                right / max(1, len(new)),
                right / len(planted),
                float(len(new)),
            ]
    return result


def in_common_size(x: NDArray[np.uint8], like: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images of another set, with the size and the channels of `like`."""
    if x.ndim == 3 and like.ndim == 4:
        x = np.repeat(x[..., None], 3, axis=3)
    if x.ndim == 4 and like.ndim == 3:
        x = x.mean(axis=3).astype(np.uint8)
    size = (like.shape[2], like.shape[1])
    return np.stack([np.asarray(Image.fromarray(one).resize(size)) for one in x])


def outlier_scores(z: Features, draw: int) -> dict[str, NDArray[np.float64]]:
    """How far each row is, by jessl, by its rule of before, and by plain baselines."""
    from sklearn.ensemble import IsolationForest

    near = nearest_rows(space_of(z))
    standard = (z - z.mean(axis=0)) / (z.std(axis=0) + 1e-9)
    forest = IsolationForest(random_state=draw).fit(z)
    return {
        "jessl": find_outliers(z, seed=draw).score,
        "10 neighbours by cosine (before)": mean_distance(near, np.ones(len(z), bool)),
        "10 neighbours, standardised": NearestNeighbors(n_neighbors=11)
        .fit(standard)
        .kneighbors(standard)[0][:, 1:]
        .mean(axis=1),
        "distance to the mean": np.linalg.norm(standard, axis=1),
        "isolation forest": -forest.score_samples(z),
    }


def outliers_of(x: Features, others: dict[str, Features], draw: int) -> dict[str, Any]:
    """1 % of one other set, of each in turn: recall of the first 1 %, and what is listed."""
    rng = np.random.default_rng([draw, 4])
    x = x[rng.permutation(len(x))[:1500]]
    count = max(5, len(x) // 100)
    cells: dict[str, list[list[float]]] = defaultdict(list)
    result: dict[str, Any] = {}
    for other in others.values():
        z = np.concatenate([x, other[rng.choice(len(other), count, replace=False)]])
        planted = np.arange(len(x), len(z))
        listed = find_outliers(z, seed=draw).rows
        cells["jessl, what is listed"].append(precision_recall(listed, planted))
        for name, score in outlier_scores(z, draw).items():
            first = np.argsort(-score, kind="stable")[:count]
            cells[f"{name}, the first 1 %"].append(precision_recall(first, planted))
    result |= {name: np.mean(value, axis=0).tolist() for name, value in cells.items()}
    result["nothing planted"] = len(find_outliers(x, seed=draw).rows)
    return result


def outliers_draws(
    images: dict[str, NDArray[np.uint8]], encoder: str, base: str, draws: range, work: Path
) -> list[dict[str, Any]]:
    """Draws of one set with all others; features are computed once."""
    names = [f"outliers-{base}-{Path(encoder.partition('@')[0]).name}-{k}" for k in draws]
    features: dict[str, Features] = {}

    def measure(k: int) -> dict[str, Any]:
        if not features:
            like = images[base]
            for name, x in images.items():
                features[name] = embedded(encoder, in_common_size(x, like) if name != base else x)
        return outliers_of(
            features[base], {name: z for name, z in features.items() if name != base}, k
        )

    return [kept(work, name, lambda: measure(k)) for name, k in zip(names, draws, strict=True)]  # noqa: B023


def timed(n: int, d: int, work: Path) -> list[str]:
    """Processor seconds of each step, on features with a spectrum like that of embeddings."""
    import resource

    file = work / "large.npy"
    rng = np.random.default_rng(0)
    if not file.exists():
        mixing = rng.standard_normal((128, d)).astype(np.float32) / np.arange(1, 129)[:, None]
        z = np.lib.format.open_memmap(file, "w+", np.float32, (n, d))
        for start in range(0, n, 4096):
            m = min(4096, n - start)
            z[start : start + m] = rng.standard_normal((m, 128), np.float32) @ mixing
            z[start : start + m] += 0.01 * rng.standard_normal((m, d), np.float32)
        del z
    x = np.load(file, mmap_mode="r")
    lines = ["| step | processor seconds |", "|---|---:|"]

    def lap(what: str, begin: float) -> None:
        # of processor time: the machine may be shared
        lines.append(f"| {what} | {time.process_time() - begin:.0f} |")
        say(lines[-1])

    begin = time.process_time()
    space = space_of(x)
    lap("principal axes", begin)
    begin = time.process_time()
    near = nearest_rows(space)
    lap(f"20 neighbours of {n:,} ({'exact' if near.exact else 'in cells'})", begin)
    begin = time.process_time()
    near_duplicates(near, x, np.zeros(n))
    every = np.ones(n, bool)
    find_outliers(x)
    lap("duplicates and outliers", begin)
    state = Pool(space.rows, mean_distance(near, every, 20), np.zeros(0, np.int64), every)
    for method in METHODS:
        begin = time.process_time()
        label_first(state, 100, method)
        lap(f"100 images by {method}", begin)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return [*lines, "", f"Peak memory {peak:.1f} GiB; the features are a memory map."]


def main() -> None:
    """Measure one part and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["choose", "errors", "duplicates", "outliers", "time"])
    parser.add_argument("--set", nargs=2, action="append", default=[], metavar=("NAME", "FILE"))
    parser.add_argument(
        "--images", nargs=3, action="append", default=[], metavar=("NAME", "FILE", "ENCODER")
    )
    parser.add_argument("--most", type=int, default=5000)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument("--first-draw", type=int, default=0, help="seeds of draws begin here")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--features", type=int, default=2048)
    parser.add_argument("--work", type=Path, default=Path("curate"))
    parser.add_argument("--out")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    sets = {name: opened(path) for name, path in args.set}
    results: dict[str, list[dict[str, Any]]] = {}
    draws = range(args.first_draw, args.first_draw + args.draws)
    if args.part == "choose":
        body = choose_table(sets, args.draws, args.work)
    elif args.part == "time":
        body = timed(args.rows, args.features, args.work)
    else:
        for name, (x, y) in sets.items():
            results[name] = [
                kept(args.work, f"errors-{name}-{k}", lambda: errors_draw(x, y, k, args.most))  # noqa: B023
                for k in draws
            ]
        pools = {name: images_of(file, args.most) for name, file, _ in args.images}
        for name, _, encoder in args.images:
            where = f"{name}, {Path(encoder.partition('@')[0]).name}"
            if args.part == "outliers":
                results[where] = outliers_draws(pools, encoder, name, draws, args.work)
                continue
            results[where] = [
                kept(
                    args.work,
                    f"{args.part}-{where}-{k}".replace(", ", "-"),
                    lambda: duplicates_of(pools[name], encoder, k),  # noqa: B023
                )
                for k in draws
            ]
        body = mean_table(results)
        if args.part == "outliers":
            plain = [f"{k} {[draw['nothing planted'] for draw in v]}" for k, v in results.items()]
            body += ["", f"Listed where nothing is planted: {'; '.join(plain)}."]
        if args.part == "duplicates":
            body += ["", "Near pairs where nothing is planted, of each draw:", ""]
            body += [
                f"- {name}, {rule}: {', '.join(str(draw[rule]) for draw in draws)}"
                for name, draws in results.items()
                for rule in draws[0]
                if rule.endswith("nothing planted")
            ]
    tell(
        f"jessl curate: {args.part}",
        ["numpy", "scikit-learn", "cleanlab", "imagededup"],
        body,
        args.out,
    )


if __name__ == "__main__":
    main()
