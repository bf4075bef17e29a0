"""A script that starts processes without a main guard is refused before any starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CALL = "check_main_guard('sweep with jobs=2')"
IMPORT = "from jessl.core.processes import check_main_guard\n"


def _run(*arguments: str, stdin: str | None = None) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, *arguments], input=stdin, capture_output=True, text=True, timeout=60
    )
    return done.returncode, done.stderr.strip().splitlines()[-1] if done.stderr.strip() else ""


@pytest.mark.parametrize(
    "body",
    [
        CALL,
        f"def main():\n    {CALL}\nmain()",
        f"import sys\nif sys.argv:\n    {CALL}",
        f'if __name__ == "__main__":\n    pass\n{CALL}',
        f"def main():\n    {CALL}\nif __name__ == '__main__':\n    pass\nmain()",
    ],
)
def test_a_script_without_a_guard_is_refused(tmp_path: Path, body: str) -> None:
    script = tmp_path / "s.py"
    script.write_text(IMPORT + body)
    code, line = _run(str(script))
    assert code == 1
    assert line.startswith("ValueError: sweep with jobs=2: put the call in line ")
    assert 'under if __name__ == "__main__":' in line


@pytest.mark.parametrize(
    "body",
    [
        f'if __name__ == "__main__":\n    {CALL}',
        f'def main():\n    {CALL}\nif "__main__" == __name__ and True:\n    main()',
        f'import sys\nif __name__ != "__main__":\n    sys.exit()\n{CALL}',
        f'try:\n    if __name__ == "__main__":\n        {CALL}\nfinally:\n    pass',
    ],
)
def test_a_guarded_script_passes(tmp_path: Path, body: str) -> None:
    script = tmp_path / "s.py"
    script.write_text(IMPORT + body)
    assert _run(str(script)) == (0, "")


def test_what_no_process_imports_again_passes(tmp_path: Path) -> None:
    assert _run("-c", IMPORT + CALL) == (0, "")
    assert _run("-", stdin=IMPORT + CALL) == (0, "")
    package = tmp_path / "package"
    package.mkdir()
    (package / "__main__.py").write_text(IMPORT + CALL)
    assert _run(str(package)) == (0, "")
