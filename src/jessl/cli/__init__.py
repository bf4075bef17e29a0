"""The command line: one file a command; `main` reads the arguments and reports errors.

May import every room, but only inside functions: `jessl --help` must answer at once.
"""

from jessl.cli.main import main as main

__all__ = ["main"]
