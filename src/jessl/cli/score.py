"""The command `jessl score`."""

from __future__ import annotations

import shlex
from collections import defaultdict
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import tyro

from jessl.cli._command import Command, JsonObject
from jessl.cli._inputs import ReadsEmbeddings, comma_separated
from jessl.cli._output import (
    print_conclusion,
    print_lines,
    print_merged_warnings,
    print_next,
    print_table,
)
from jessl.config import Score
from jessl.core.log import is_first_process, log, several_processes

if TYPE_CHECKING:
    from jessl.embeddings import Embeddings
    from jessl.scores import ScoreResult

# more scores than these are not named one by one beside a warning
_MOST_SCORES = 4
_BETTER = {True: "higher", False: "lower", None: "-"}


@dataclass(frozen=True, kw_only=True)
class ScoreCommand(Command, ReadsEmbeddings, Score):
    """Compute label-free quality scores of embeddings, such as RankMe, with error bars.

    Under torchrun each process reads a share of the rows: scores of the spectrum only.

    Attributes:
        embeddings: folders of embeddings, .npy, .npz, .safetensors, .csv or .parquet files [n, d].
            Comparable ones are ranked, best first.
        force: rank embeddings even if they are not comparable.
    """

    embeddings: tyro.conf.Positional[list[str]] = field()  # type: ignore[assignment]
    scores: str = "rankme"
    force: bool = False

    def run(self) -> JsonObject:
        """Score each file or folder, and compare them."""
        from jessl.core.process_group import process_group
        from jessl.scores.compare import compare, conclude

        if not self.embeddings:
            raise ValueError("embeddings: expected at least one folder or file, got none")
        if several_processes() and self.converge:
            raise ValueError("converge: expected one process, got several; run it without torchrun")
        paths = list(dict.fromkeys(self.embeddings))
        names = self._names(paths)
        results, metas = {}, {}
        labelled = False
        with process_group("cpu") if several_processes() else nullcontext():
            for path in paths:
                z = self.load_embeddings(path, mmap=several_processes())
                try:
                    results[path] = self._score(path, z, names)
                except ValueError as error:
                    named = ValueError(f"{path}: {error}")
                    named.reported = getattr(error, "reported", False)  # type: ignore[attr-defined]
                    raise named from None
                metas[path] = z.meta
                labelled = labelled or (z.labels is not None and int(z.labels.max(initial=-1)) > 0)
        comparison = compare(results, metas, force=self.force)
        return {
            "conclusion": conclude(results, comparison),
            "embeddings": {
                path: {name: result.as_json() for name, result in by_name.items()}
                for path, by_name in results.items()
            },
            "order": {name: list(paths) for name, paths in comparison.order.items()},
            "not_compared": list(comparison.reasons),
            "warnings": list(comparison.warnings),
            "next": _next_commands(paths, labelled),
        }

    def _score(self, path: str, z: Embeddings, names: list[str]) -> dict[str, ScoreResult]:
        from jessl.core.progress import ProgressBar

        with ProgressBar(f"scoring {path}", unit="spectra", quiet=not is_first_process()) as bar:
            if several_processes():
                from jessl.scores.score_together import score_together

                return score_together(
                    z, names, jackknife=self.jackknife, seed=self.seed, progress=bar.update
                )
            from jessl.scores import score

            return score(self, z=z, names=names, progress=bar.update)

    def _names(self, paths: list[str]) -> list[str]:
        """The requested names, with groups of scores expanded."""
        from jessl.scores.multiview import equal_views
        from jessl.scores.registry import OF_VIEWS, expand_groups, parse_score

        requested = comma_separated(self.scores)
        if not requested:
            raise ValueError("scores: expected at least one name, got none")
        has_views = "all" in requested and all(
            equal_views(self.load_embeddings(path, mmap=True)) for path in paths
        )
        if "all" in requested and not has_views:
            log.note(
                f"scores of views are left out ({', '.join(OF_VIEWS)}): they need equally many "
                "views of every image (embed --views)"
            )
        names = expand_groups(requested, views=has_views)
        for name in names:
            parse_score(name)  # report a mistake before any file is read
        return names

    def show(self, result: JsonObject) -> None:
        """A row for each file and score, ranked where they are comparable; then the warnings."""
        print_conclusion(result)
        embeddings, order = result["embeddings"], result["order"]
        keys = ("value", "debiased", "sd", "low", "high", "n", "d")
        rows: list[list[object]] = []
        curves: list[list[str]] = []
        warnings: dict[tuple[str, str], list[str]] = defaultdict(list)
        for name in next(iter(embeddings.values())):
            for place, path in enumerate(order.get(name, embeddings), 1):
                one = embeddings[path][name]
                rank = [place if name in order else None] if order else []
                better = _BETTER[one["higher_is_better"]]
                rows.append([name, *rank, path, *(one[key] for key in keys), better])
                curves.append([name, path, *(f"{m:,}: {_short(v)}" for m, v in one["curve"])])
                for warning in one["warnings"]:
                    warnings[path, warning].append(name)
        headers = ["value", "debiased", "sd", "95 % from", "to", "n", "d", "better"]
        print_table(["score", *(["#"] if order else []), "embeddings", *headers], rows)
        if any(row[-6] is not None for row in rows):
            print_lines(
                "95 %: of the debiased value where there is one; over images, not over trainings"
            )
        if self.converge:
            _print_curves(curves)
        about = [
            (f"{path}: {', '.join(names)}" if len(names) < _MOST_SCORES else path, warning)
            for (path, warning), names in warnings.items()
        ]
        print_merged_warnings(about, "embeddings and scores")
        for reason in result["not_compared"]:
            effect = "ranked anyway" if self.force else "not ranked (--force ranks them)"
            log.note(f"{effect}: {reason}")
        for warning in result["warnings"]:
            log.warning(warning)
        print_next(result["next"])


def _next_commands(paths: list[str], labelled: bool) -> list[str]:
    """What labels say; where there are none, how a few decide between encoders and baselines."""
    if labelled:
        return [f"jessl probe --train {shlex.quote(paths[0])}"]
    return [
        "jessl select --encoders ENCODER random:ENCODER pixels --data SRC --labels FEW.csv --out "
        "compared"
    ]


def _print_curves(curves: list[list[str]]) -> None:
    print_lines("", "with fewer rows:")
    widest = max(map(len, curves))
    padded = [row + [""] * (widest - len(row)) for row in curves]
    print_table(["score", "embeddings", *["rows: value"] * (widest - 2)], padded)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"
