"""The command that judges without labels: score (see making.py for its form)."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import tyro

from jessl.cli._base import table


@dataclass(kw_only=True)
class ScoreCommand:
    """Judge representations without labels: RankMe and other scores, with error bars.

    Attributes:
        embeddings: folders of embeddings, .npy, .npz or .safetensors files [n, d]. Those that can
            be compared are put in order, best first.
        scores: which ones, by commas: rankme, effective_rank, normalized_rank, alpha_req, nesum,
            stable_rank, participation_ratio, numerical_rank, condition_number, matrix_entropy,
            self_cluster, coherence, uniformity, twonn, idest, sigreg; of embeddings of views also
            lidar and alignment. With options: alpha_req:first=5:last=50. spectral: all that need
            only the spectrum; all: all of them.
        jackknife: blocks of the error bar; None: 20, fewer where d is above 2048; 0: none.
        converge: also the scores of a quarter and of half of the rows.
        force: put in order what cannot be compared, too.
        seed: of the blocks.
        json: print the answer as JSON on standard output.
    """

    embeddings: tyro.conf.Positional[list[str]]
    scores: str = "rankme"
    jackknife: int | None = None
    converge: bool = False
    force: bool = False
    seed: int = 0
    json: bool = False

    def run(self) -> dict[str, Any]:
        """Score each, and compare."""
        from jessl.core.progress import ProgressBar
        from jessl.embeddings import Embeddings
        from jessl.scores import score
        from jessl.scores.compare import compare

        if not self.embeddings:
            raise ValueError("score needs at least one folder or file of embeddings, got none")
        paths = list(dict.fromkeys(self.embeddings))
        names = self._names(paths)
        found, metas = {}, {}
        for path in paths:
            z = Embeddings.load(path)
            try:
                with ProgressBar(f"scoring {path}") as count:
                    found[path] = score(
                        z,
                        names,
                        jackknife=self.jackknife,
                        seed=self.seed,
                        converge=self.converge,
                        progress=count.update,
                    )
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            metas[path] = z.meta
        compared = compare(found, metas, force=self.force)
        return {
            "embeddings": {
                path: {name: result.as_json() for name, result in results.items()}
                for path, results in found.items()
            },
            "order": {name: list(paths) for name, paths in compared.order.items()},
            "not_compared": list(compared.reasons),
            "warnings": list(compared.warnings),
        }

    def _names(self, paths: list[str]) -> list[str]:
        """Names as asked for, groups of them spelt out."""
        from jessl.core.log import log
        from jessl.embeddings import Embeddings
        from jessl.scores import SCORES, SPECTRAL
        from jessl.scores.multiview import equal_views
        from jessl.scores.registry import OF_VIEWS, parse_score

        words = [word.strip() for word in self.scores.split(",") if word.strip()]
        if not words:
            raise ValueError("scores must name at least one score, got none")
        groups: dict[str, list[str]] = {"spectral": list(SPECTRAL)}
        if "all" in words:
            views = [equal_views(Embeddings.load(path, mmap=True)) for path in paths]
            groups["all"] = [name for name in SCORES if all(views) or name not in OF_VIEWS]
            if not all(views):
                why = "they need equally many views of every image (embed --views)"
                log.note(f"{' and '.join(OF_VIEWS)} are left out: {why}")
        names = list(dict.fromkeys(n for word in words for n in groups.get(word, [word])))
        for name in names:
            parse_score(name)  # a mistake is told before any file is read
        return names

    def show(self, answer: dict[str, Any]) -> None:
        """A row a matrix and score, in order where there is one; then what is to be doubted."""
        held, order = answer["embeddings"], answer["order"]
        better = {True: "higher", False: "lower", None: "-"}
        keys = ("value", "debiased", "sd", "low", "high", "n", "d")
        rows: list[list[Any]] = []
        curves: list[list[Any]] = []
        doubts: dict[tuple[str, str], list[str]] = {}
        for name in next(iter(held.values())):
            for place, path in enumerate(order.get(name, held), 1):
                r = held[path][name]
                number = [place if name in order else None] if order else []
                told = better[r["higher_is_better"]]
                rows.append([name, *number, path, *(r[k] for k in keys), told])
                curves.append([name, path, *(f"{m:,}: {_short(v)}" for m, v in r["curve"])])
                for warning in r["warnings"]:
                    doubts.setdefault((path, warning), []).append(name)
        headers = ["value", "debiased", "sd", "95 % from", "to", "n", "d", "better"]
        table(["score", *(["#"] if order else []), "embeddings", *headers], rows)
        if any(row[-6] is not None for row in rows):
            print("95 %: of the debiased value where there is one; over images, not over trainings")
        if self.converge:
            print("\nof fewer rows:")
            widest = max(map(len, curves))
            padded = [c + [""] * (widest - len(c)) for c in curves]
            table(["score", "embeddings", *["rows: value"] * (widest - 2)], padded)
        for (path, warning), names in doubts.items():
            print(f"warning: {path}: {', '.join(names)}: {warning}", file=sys.stderr)
        for reason in answer["not_compared"]:
            told = "in order all the same" if self.force else "not put in order (--force does)"
            print(f"note: {told}: {reason}", file=sys.stderr)
        for warning in answer["warnings"]:
            print(f"warning: {warning}", file=sys.stderr)


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"
