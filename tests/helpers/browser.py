"""Chromium without a screen, and a page in a frame of any width, for the tests of the pages."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome", "chrome")
        if (path := shutil.which(name))
    ),
    None,
)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--hide-scrollbars", "--enable-logging=stderr"),
    "--virtual-time-budget=2000",
)
# windows have a least width of 500 px, frames have none
_HARNESS = """<!doctype html><body><script>
addEventListener('message', event => { document.body.dataset.probe = event.data; });
</script><iframe src="probed.html" width="{width}" height="900" style="border:0"></iframe></body>
"""


def browse(page: Path, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page; with --dump-dom the document is on standard output."""
    assert CHROMIUM is not None
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [CHROMIUM, *_OPTIONS, profile, *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)


def console_errors(ran: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


def probe(page: str, script: str, width: int, tmp_path: Path) -> dict[str, Any]:
    """What a script (a probe that posts JSON to its parent) finds in a page of a width, px.

    The probe would not run under the policy of the page, which is taken out.
    """
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    (tmp_path / "probed.html").write_text(page.replace("</body>", script + "</body>"), "utf-8")
    harness = tmp_path / "harness.html"
    harness.write_text(_HARNESS.replace("{width}", str(width)), encoding="utf-8")
    ran = browse(harness, tmp_path, "--dump-dom", "--window-size=1400,1000")
    match = re.search(r'data-probe="([^"]*)"', ran.stdout)
    assert match is not None
    answer: dict[str, Any] = json.loads(html.unescape(match.group(1)))
    return answer
