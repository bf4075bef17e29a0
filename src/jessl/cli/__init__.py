"""The command line: one file for each command; `main` chooses the command and reports errors.

May import every package, but all except core, config and schema only inside functions: `jessl
--help` must answer at once.
"""

from jessl.cli.main import main as main

__all__ = ["main"]
