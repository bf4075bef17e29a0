"""New processes without new imports: torch takes seconds to import, a fork server has it already.

One fork server serves all tests of a pytest worker. It has imported what the tests' processes need
and has computed nothing, so that a process that it forks is as good as a new interpreter.
"""

from __future__ import annotations

import multiprocessing
from multiprocessing.context import ForkServerContext

CONTEXT: ForkServerContext = multiprocessing.get_context("forkserver")
_MODULES = [
    "torch._dynamo",
    "torch.distributed",
    "jessl.pretraining.pretrain",
    "jessl.sweeps.sweep",
]


def preload() -> None:
    """Have the fork server import what the processes need; without effect once it runs."""
    CONTEXT.set_forkserver_preload(_MODULES)
