"""The block of a map of embeddings."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from markupsafe import Markup

from jessl.report.pages.content import Block, MapBlock

if TYPE_CHECKING:  # it needs numpy, which a page without a map does not
    from jessl.maps.embedding_map import EmbeddingMap

HEADING = "Map of the images"


def map_blocks(drawn: EmbeddingMap | None, key: str = "map") -> list[Block]:
    """The blocks of a map; nothing without one.

    Args:
        drawn: the map.
        key: unique on the page.
    """
    if drawn is None:
        return []
    shown, total = len(drawn.names), drawn.total
    which = f"{shown:,} images" if shown == total else f"{shown:,} of {total:,} images"
    caption = (
        f"{which}. Images that the encoder represents alike lie close together. Point at or tap a "
        "dot to see its image; draw a lasso around dots to list their names."
    )
    text = json.dumps(drawn.as_json(), ensure_ascii=True).replace("<", "\\u003c")
    return [
        MapBlock(
            key=key,
            caption=caption,
            layouts=[(one.name, one.about) for one in drawn.layouts],
            colours=[one.name for one in drawn.colours],
            # inside a script element only "<" could end the data
            data=Markup(text),
        )
    ]
