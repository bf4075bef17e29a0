"""Refuse private language: banned identifiers, class names that stand twice, files of two subjects.

Run by `make check`: python tools/check_names.py
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src" / "jessl"

# words that are no terms of the field: what they named has a plain name now
BANNED = {
    *("told", "said", "found", "say", "tell", "asked", "alike", "led", "untold", "doubts"),
    *("contender", "contenders", "verdict", "painter"),
}
# one class name in two files is a reader's trap, but for those that users import by their module
MAY_STAND_TWICE = {"RankMeCallback"}
MOST_LINES = 400
MOST_DOCSTRING_LINES = 5
# the old form of an error: "X wanted, Y came" and "must be X, got Y" are "expected X, got Y" now
OLD_ERROR = re.compile(r"wanted, .* came|must be .*, got")


def identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, name) of everything that a file defines or binds, but the old names it still takes."""
    old = {
        target
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "id", "") == "RenamedMember"
        for target in node.targets
    }
    for node in ast.walk(tree):
        if node in old:
            continue
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.lineno, node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def problems() -> Iterator[str]:
    """One line for each place that breaks a rule."""
    classes: dict[str, list[str]] = defaultdict(list)
    for path in sorted(SOURCE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        place = path.relative_to(SOURCE.parents[1])
        if (lines := text.count("\n")) > MOST_LINES:
            yield f"{place}: {lines} lines, more than {MOST_LINES}: split it by subject"
        tree = ast.parse(text)
        for line, name in identifiers(tree):
            if BANNED & set(name.strip("_").lower().split("_")):
                yield f"{place}:{line}: {name} is not a term of the field"
        for number, line_text in enumerate(text.splitlines(), 1):
            if OLD_ERROR.search(line_text):
                yield f'{place}:{number}: an error reads "NAME: expected X, got Y"'
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes[node.name].append(f"{place}:{node.lineno}")
        if path.name == "__init__.py" and len((ast.get_docstring(tree) or "").splitlines()) > (
            MOST_DOCSTRING_LINES
        ):
            yield f"{place}: the docstring of a room has at most {MOST_DOCSTRING_LINES} lines"
        if path.name == "__init__.py" and not ast.get_docstring(tree):
            yield f"{place}: a room needs a docstring: what is in it, what it may import"
        if path.stem.endswith("_more"):
            yield f"{place}: name the subject, not that there is more of it"
    for name, places in classes.items():
        if len(places) > 1 and name not in MAY_STAND_TWICE:
            yield f"class {name} stands in {' and '.join(places)}"


def main() -> int:
    """Print the problems; 1 where there are any."""
    lines = list(problems())
    print("\n".join(lines) or "names: fine")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
