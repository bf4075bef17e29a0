"""An answer of jessl zoo with every section, made by hand, and names that hold HTML."""

from __future__ import annotations

from typing import Any

EVIL = "<script>alert('x')</script>&\""
COMPONENTS = ("approx", "usability", "probe_gen", "enc_gen")
SPLITS = {"random": 0.6, "checkpoint": 0.5, "objective": 0.1, "year": -1.5}


def table_section(**tables: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "question": f"Question {EVIL}?",
        "tables": {name: {"about": f"about {EVIL}", "rows": rows} for name, rows in tables.items()},
        "notes": [f"note {EVIL}"],
    }


def _effect(
    choice: str, outcome: str, effect: float | None, half: float, **more: Any
) -> dict[str, Any]:
    return {
        "choice": choice,
        "outcome": outcome,
        "level": "",
        "reference": "",
        "effect": effect,
        "low": None if effect is None else effect - half,
        "high": None if effect is None else effect + half,
        "p": None if effect is None else 0.01,
        "p_permuted": None if effect is None else 0.01,
        "unit": "points per ln",
        "n_models": 25,
        "n_groups": 10,
        "note": "",
    } | more


def zoo_answer() -> dict[str, Any]:
    """Every section with rows like those of the published table, and names that hold HTML."""
    parts = {"approx": 0.8, "usability": -0.5, "probe_gen": 20.0, "enc_gen": 3.0}
    models = [f"model{i}{EVIL}" for i in range(6)]
    level = {"level": EVIL, "reference": "resnet", "unit": "points"}
    no_groups = {"n_groups": None, "p_permuted": None}
    linear = [_effect("z_dim", o, e, 1.0) for o, e in (("usability", -4.0), ("probe_gen", 0.5))]
    linear.append(_effect("family", "probe_gen", -7.0, 2.0) | level)
    for row in linear:
        row |= no_groups
        del row["n_groups"], row["p_permuted"]
        row |= {"n_checkpoints": 120, "collinear": ["a", EVIL], "missing": {"a": 3}, "rare": []}
    by_year = [
        {"year": year, "models": 9, **{c: v + gone for c, v in parts.items()}, "full": 30.0}
        for year, gone in ((2019, 5.0), (2022, 0.0))
    ]
    by_year[0]["usability"] = 9.5
    correlated = [
        {"component": c, "with": w, "n": 9, "kendall": tau, "kendall_low": 0.1, "kendall_high": 0.7}
        | {"kendall_group_low": -0.1, "kendall_group_high": 0.8}
        for w in ("full", "3shot")
        for c, tau in zip(COMPONENTS, (0.1, 0.4, 0.5, -0.05), strict=True)
    ]
    laws = {"two parameters": 0.9, "standard": -3.0}
    return {
        "source": {"name": EVIL, "sha256": "ab" * 32, "rows": 6, "missing": {"approx": 2}}
        | {"notes": [EVIL]},
        "seed": 0,
        "left_out": [],
        "sections": {
            "counts": table_section(counts=[{"what": EVIL, "count": 6}]),
            "ranking": table_section(
                best_explained=[{"setting": "full", "model": models[0], "error": 23.0, **parts}],
                agreement=[{"first": "full", "second": "3shot", "models": 6, "tau": 0.2}
                           | {"mean_shift": 2.5}],
                shifts=[
                    {"model": m, "place_full": i + 1, "place_3shot": 6 - i, "shift": 2 * i - 5}
                    for i, m in enumerate(models)
                ],
            ),
            "components": table_section(
                spread=[{"of": c, "n": 6, "mean": v} for c, v in (*parts.items(), ("full", 23.5))],
                by_year=by_year,
                correlations=correlated,
                added=[{**row, "with": f"{row['with']} - full"} for row in correlated[4:]],
            ),
            "measures": table_section(all_models=[{"statistic": EVIL, "spearman": -0.3}]),
            "few_shot": table_section(
                fit=[{"law": law, "setting": "all", "r2": r2} for law, r2 in laws.items()],
                predictions=[
                    {"model": m, "setting": s, "error": 20.0 + i, **dict.fromkeys(laws, 21.0)}
                    for s in ("full", EVIL)
                    for i, m in enumerate(models)
                ],
                left_out=[
                    {"left_out": "nothing: fitted on the same", "law": law, "r2_few": r2}
                    for law, r2 in laws.items()
                ],
                held_out=[
                    {"kind": "year", "held_out": kind, "law": law, "r2_few": r2 - less, "models": 3}
                    for kind, less in (("2021", 0.0), ("2022", 0.2))
                    for law, r2 in laws.items()
                ],
            ),
            "controlled": table_section(
                effects=[
                    _effect("z_dim", "usability", -4.0, 1.0),
                    _effect("z_dim", "probe_gen", 3.0, 1.0),
                    _effect("z_dim", "full", -0.1, 0.4),
                    _effect("nviews", "usability", -2.0, 1.5, p_permuted=0.3),
                    _effect("n_parameters", "probe_gen", 1.0, 140.0),
                    _effect(EVIL, "usability", 9.0, 1.0, **level),
                    _effect(f"img{EVIL}", "usability", None, 0.0, note="too few"),
                ],
                groups=[{"choice": "z_dim", "columns": ["z_dim", "z_layer"], "models": models}],
            ),
            "linear": table_section(effects=linear),
            "trees": table_section(
                shap=[
                    {"outcome": o, "choice": c, "mean_abs_shap": 1.0, "share": 0.5}
                    for o in COMPONENTS
                    for c in ("z_dim", EVIL)
                ]
            ),
            "validation": table_section(
                r2=[
                    {"outcome": o, "model": m, "split": s, "r2": r2, "rmse": 2.0, "n": 6}
                    for m in ("trees", "linear")
                    for s, r2 in SPLITS.items()
                    for o in ("usability", "full")
                ]
            ),
        },
    }  # fmt: skip
