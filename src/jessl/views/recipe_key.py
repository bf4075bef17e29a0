"""The key of a recipe: what must be equal for scores of views to be compared."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping


def recipe_key(views: Mapping[str, object]) -> str:
    """12 hexadecimal digits that are equal for equal recipes, whatever their size in pixels.

    Scores of views are compared under one recipe only. Size and normalisation are those of the
    encoder and do not count; the number of views does.

    Args:
        views: `Views.as_dict()`, as the metadata of embeddings hold it.
    """
    recipes = views.get("views")
    counted = [
        {k: v for k, v in recipe.items() if k != "size"} if isinstance(recipe, dict) else recipe
        for recipe in (recipes if isinstance(recipes, list) else [])
    ]
    text = json.dumps(counted, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
