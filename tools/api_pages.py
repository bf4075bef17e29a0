"""The pages of the Python API, for `make docs`: python tools/api_pages.py OUT

The names of jessl are imported when they are used, and pdoc sees only what a module holds already.
"""

from __future__ import annotations

import sys

import jessl


def main() -> None:
    """Write them with pdoc."""
    from pdoc.__main__ import cli

    vars(jessl).update({name: getattr(jessl, name) for name in jessl.__all__})
    cli(["-o", sys.argv[1], "jessl"])


if __name__ == "__main__":
    main()
