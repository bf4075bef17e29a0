"""From the content of a page to its HTML: one document that runs only its own script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from jessl.report.formatting import unbroken
from jessl.report.pages.content import Block, Page, Picture


def render(page: Page) -> str:
    """The text of a page. Everything that is not `Markup` is escaped."""
    style = _asset("style.css")
    scripts = [_asset("script.js"), *([_asset("map.js")] if page.maps else [])]
    return (
        _environment()
        .get_template("page.html.j2")
        .render(page=page, style=style, scripts=scripts, policy=_policy(style, scripts))
    )


def _policy(style: str, scripts: Sequence[str]) -> str:
    """What the page may do: its own style and scripts (by their hashes), embedded pictures."""
    style_hash, *script_hashes = (
        base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        for text in (style, *scripts)
    )
    own = " ".join(f"'sha256-{one}'" for one in script_hashes)
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style_hash}'; "
        f"script-src {own}; base-uri 'none'; form-action 'none'"
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("jessl.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["unbroken"] = unbroken
    environment.filters["render"] = _render_block
    return environment


def _render_block(block: Block | Picture) -> Markup:
    macros = _environment().get_template("blocks.html.j2").module
    return Markup(getattr(macros, block.macro)(block))


@cache
def _asset(name: str) -> Markup:
    """A file of ours that stands in the page as it is."""
    environment = _environment()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])
