"""New processes without new imports: torch takes seconds to import, a fork server has it already.

One fork server serves all tests of a pytest worker. It has imported what the tests' processes need
and has computed nothing, so that a process that it forks is as good as a new interpreter.
"""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

from helpers.paths import TESTS

CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")


def preload() -> None:
    """Start the fork server with `helpers.preloaded`; without effect once it runs."""
    CONTEXT.set_forkserver_preload(["helpers.preloaded"])
    before = os.environ.get("PYTHONPATH")
    # Python 3.11 does not give it the path of modules, and ignores a module that is not found
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [before])])
    try:
        forkserver.ensure_running()
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before
