"""A hook of mkdocs: files of the repository that the pages link to become part of the site.

Pages link to ../benchmarks/records/X.md and the like, so that the links also work in the
repository; in the site these files are under repository/.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
FOLDER = "repository"
_LINK = re.compile(r"\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


def on_files(files: Any, config: Any) -> Any:
    """Add what the pages link to outside docs, and what records among it link to in turn."""
    for notebook in sorted((ROOT / "docs").rglob("*.ipynb")):
        name = notebook.relative_to(ROOT / "docs").with_suffix(".md").as_posix()
        files.append(File.generated(config, name, content=_as_markdown(notebook)))
    waiting = [ROOT / "docs" / f.src_uri for f in files.documentation_pages()]
    seen: set[str] = set()
    while waiting:
        path = waiting.pop()
        for target in _targets(path):
            name = target.relative_to(ROOT).as_posix()
            if name in seen:
                continue
            seen.add(name)
            files.append(File.generated(config, f"{FOLDER}/{name}", abs_src_path=str(target)))
            if target.suffix == ".md":
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Rewrite links of a page to files that are under repository/ in the site."""
    uri = page.file.src_uri
    in_repository = uri.startswith(f"{FOLDER}/")
    source = ROOT / (uri.removeprefix(f"{FOLDER}/") if in_repository else f"docs/{uri}")

    def rewritten(match: re.Match[str]) -> str:
        text, link = match.groups()
        path, hash_sign, anchor = link.partition("#")
        target = _resolved(source, path)
        if target is None:  # a folder has no page
            return text if in_repository and path and "://" not in path else match[0]
        if target.suffix == ".ipynb":
            target = target.with_suffix(".md")
        name = target.relative_to(ROOT).as_posix()
        name = name.removeprefix("docs/") if name.startswith("docs/") else f"{FOLDER}/{name}"
        return f"[{text}]({posixpath.relpath(name, posixpath.dirname(uri))}{hash_sign}{anchor})"

    return _LINK.sub(rewritten, markdown)


def _targets(page: Path) -> list[Path]:
    if page.suffix != ".md" or not page.exists():
        return []
    found = (_resolved(page, m[2].partition("#")[0]) for m in _LINK.finditer(page.read_text()))
    return [t for t in found if t is not None and (ROOT / "docs") not in t.parents]


def _as_markdown(notebook: Path) -> str:
    """A notebook as a page: its text, its code, and what each cell printed."""
    parts = []
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell["outputs"]:
            shown = output.get("text") or output.get("data", {}).get("text/plain", [])
            parts.append(f"```text\n{''.join(shown).rstrip()}\n```")
    return "\n\n".join(parts) + "\n"


def _resolved(page: Path, link: str) -> Path | None:
    """The file of the repository behind a link of a page; None for all else."""
    if not link or "://" in link or link.startswith("mailto:"):
        return None
    # generated records quote links of docs
    for folder in (page.parent, ROOT / "docs"):
        target = (folder / link).resolve()
        if target.is_file() and ROOT in target.parents:
            return target
    return None
