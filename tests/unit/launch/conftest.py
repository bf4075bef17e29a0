"""Jobs on this machine whose tasks need not import torch anew."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from helpers.interpreters import fast_python


@pytest.fixture
def fast_tasks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tasks of submitit's local jobs are forked, see helpers.interpreters."""
    local = pytest.importorskip("submitit.local.local")
    with fast_python() as python:
        monkeypatch.setattr(
            local.LocalExecutor,
            "_submitit_command_str",
            property(
                lambda self: f"{python} -u -m submitit.core._submit {shlex.quote(str(self.folder))}"
            ),
        )
        yield
