"""What every page is: one HTML document that loads nothing and runs its own script only."""

from __future__ import annotations

import base64
import hashlib

from jessl.report.charts.svg import Markup, tag
from jessl.report.pages.script import SCRIPT
from jessl.report.pages.style import STYLE


def document(title: str, body: Markup) -> str:
    """The text of a page.

    Args:
        title: plain text.
        body: what stands in it.
    """
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>',
            '<meta charset="utf-8"/>',
            tag("meta", http_equiv="Content-Security-Policy", content=policy()),
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            tag("title", title),
            f"<style>{STYLE}</style>",
            "</head>\n<body>",
            body,
            '<div id="tip" role="status"></div>',
            f"<script>{SCRIPT}</script>",
            "</body>\n</html>\n",
        ]
    )


def policy() -> str:
    """What the page may do: its own style and script (by their hashes), embedded pictures."""
    script, style = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (SCRIPT, STYLE)
    )
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; "
        f"script-src 'sha256-{script}'; base-uri 'none'; form-action 'none'"
    )
