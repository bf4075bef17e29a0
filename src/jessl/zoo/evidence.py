"""Evidence on design choices from a table of models, as rows that `jessl.risk.evidence` reads.

    python -m jessl.zoo.evidence TABLE OUT.json

writes the rows of a table; src/jessl/risk/evidence.json are those of the published table of 169
models (Dubois, Hashimoto and Liang, "Evaluating Self-Supervised Learning via Risk Decomposition",
ICML 2023). Every row names its table and the sha256 of the bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from jessl.core.files import atomic_write
from jessl.zoo.controlled import controlled_effects
from jessl.zoo.linear import linear_effects
from jessl.zoo.section import Row
from jessl.zoo.table import Models, read_table

WORDS = {
    "z_dim": "the dimension of the representation (another layer, several layers or a wider one)",
    "z_dim at one layer": "the dimension of the representation at the same layer",
    "epochs": "the epochs of pretraining",
    "batch_size": "the batch size of pretraining",
    "nviews": "the views of an image",
    "n_augmentations": "the kinds of augmentation",
    "n_parameters": "the parameters of the encoder",
    "patch_size": "the patch size",
    "img_size": "the image size",
    "learning_rate": "the learning rate",
    "weight_decay": "the weight decay",
    "projection2_arch": "the projection head",
    "family": "the family of the architecture",
    "pretraining_data": "the pretraining data",
    "ssl_mode": "the kind of objective",
    "is_ema": "a teacher by moving average",
}
# outcomes in rows: the components, and what becomes of the whole error with all and few labels
OUTCOMES = ("approx", "usability", "probe_gen", "enc_gen", "full", "3shot")
_NO_CHOICES = ("train_rank",)
_DIGITS = 8  # significant; what a machine's own linear algebra changes lies below


def evidence(models: Models) -> list[Row]:
    """The effects of design choices that can be estimated.

    Returns:
        Rows of name (stable: method/choice/outcome, with the level and its reference for texts),
        choice, words, level and reference ("" for amounts), component (approx, usability,
        probe_gen, enc_gen; also full and 3shot for whole errors), effect, low, high (95 %, in
        unit: "points" of a level, "points per ln" or "points per 1" of an amount), n_models,
        n_groups (None for linear), p, p_permuted (None for linear), method ("controlled" or
        "linear"), source (file and sha256 of the table). Negative effects are fewer errors.
    """
    effects = [("controlled", row) for row in controlled_effects(models)]
    effects += [("linear", row) for row in linear_effects(models)]
    source = f"{Path(models.source['name']).name} sha256:{models.source['sha256']}"
    return [
        _row(method, row, source)
        for method, row in effects
        if row["effect"] is not None
        and row["outcome"] in OUTCOMES
        and row["choice"] not in _NO_CHOICES
    ]


def _row(method: str, row: Row, source: str) -> Row:
    levels = f":{row['level']} for {row['reference']}" if row["level"] else ""
    numbers: dict[str, float] = {key: _short(row[key]) for key in ("effect", "low", "high")}
    return {
        "name": f"{method}/{row['choice']}{levels}/{row['outcome']}",
        "choice": row["choice"],
        "words": WORDS.get(row["choice"], row["choice"]),
        "level": row["level"],
        "reference": row["reference"],
        "component": row["outcome"],
        **numbers,
        "unit": row["unit"],
        "n_models": row["n_models"],
        "n_groups": row.get("n_groups"),
        "p": _short(row["p"]),
        "p_permuted": row.get("p_permuted"),
        "method": method,
        "source": source,
    }


def _short(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")


def main(arguments: Sequence[str]) -> int:
    """Write the evidence of a table; 2 for a user's mistake.

    Args:
        arguments: the table and the file to write.
    """
    if len(arguments) != 2:
        print("usage: python -m jessl.zoo.evidence TABLE OUT.json", file=sys.stderr)
        return 2
    try:
        rows = evidence(read_table(arguments[0]))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    lines = ",\n".join(json.dumps(row, allow_nan=False) for row in rows)
    with atomic_write(arguments[1]) as path:
        path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
