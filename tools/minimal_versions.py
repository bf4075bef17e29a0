"""Print a constraints file that pins every dependency to its lower bound in pyproject.toml.

    python tools/minimal_versions.py > minimal.txt
    python -m pip install -c minimal.txt -e '.[slurm,postgresql,zoo,integrations]' \\
        pytest pytest-xdist hypothesis webdataset
    OMP_NUM_THREADS=1 python -m pytest -n auto tests/unit tests/contract tests/faults

Call it in a new virtual environment of the oldest supported Python. A lower bound that nobody has
installed is a guess: the workflow does the same at every push.
"""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"
_REQUIREMENT = re.compile(r"([A-Za-z0-9._-]+)\s*>=\s*([0-9][0-9.]*)$")


def constraints(text: str, extras: list[str]) -> list[str]:
    """`NAME==LOWER` for every run-time dependency, and those of `extras`.

    Args:
        text: of pyproject.toml.
        extras: names of optional dependencies to pin as well.

    Raises:
        ValueError: for a requirement that is not of the form NAME>=VERSION, an extra that does not
            exist, or two lower bounds of one package.
    """
    project = tomllib.loads(text)["project"]
    optional = project.get("optional-dependencies", {})
    unknown = [name for name in extras if name not in optional]
    if unknown:
        raise ValueError(f"extras: expected some of {', '.join(optional)}, got {unknown[0]}")
    pins: dict[str, str] = {}
    for requirement in sum((optional[name] for name in extras), list(project["dependencies"])):
        match = _REQUIREMENT.match(requirement)
        if match is None:
            raise ValueError(f"pyproject.toml: expected NAME>=VERSION, got {requirement}")
        name, lower = match.groups()
        if pins.setdefault(name, lower) != lower:
            raise ValueError(f"pyproject.toml: two lower bounds of {name}: {pins[name]}, {lower}")
    return [f"{name}=={lower}" for name, lower in pins.items()]


def main() -> None:
    """Print the constraints."""
    usage, _, text = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        description=usage, epilog=text, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    project = tomllib.loads(PYPROJECT.read_text("utf-8"))["project"]
    extras = [name for name in project["optional-dependencies"] if name != "dev"]
    parser.add_argument(
        "--extras",
        nargs="*",
        default=extras,
        help=f"whose dependencies are pinned too; without it {' '.join(extras)}",
    )
    try:
        lines = constraints(PYPROJECT.read_text("utf-8"), parser.parse_args().extras)
    except ValueError as error:
        sys.exit(f"{error}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
