"""Build wheel and sdist into dist/, install the wheel into a new environment, run the README there.

    python tools/try_wheel.py

Run by `make wheel` and before a release: what is missing from the wheel (a template, a data file)
shows here and not in a checkout.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command; print it first, end with its code where it fails."""
    print("+", shlex.join(map(str, command)), flush=True)
    done = subprocess.run([str(part) for part in command], cwd=cwd, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> None:
    """Build, install, try."""
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", dist, cwd=ROOT)
    (wheel,) = dist.glob("*.whl")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        run(sys.executable, "-m", "venv", place / "venv", cwd=place)
        binaries = place / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
        run(binaries / "python", "-m", "pip", "install", "--quiet", wheel, cwd=place)
        (commands,) = re.findall(r"^```sh\n(.*?)^```", readme, flags=re.M | re.S)
        for line in commands.splitlines():
            if line.startswith("jessl "):
                run(binaries / "jessl", *shlex.split(line, comments=True)[1:], cwd=place)
        (example,) = re.findall(r"^```python\n(.*?)^```", readme, flags=re.M | re.S)
        (place / "example.py").write_text(
            f"def main():\n{re.sub(r'^', '    ', example, flags=re.M)}\n\n"
            'if __name__ == "__main__":\n    main()\n',
            encoding="utf-8",
        )
        run(binaries / "python", "example.py", cwd=place)
    print(f"the wheel works: {wheel.name}")


if __name__ == "__main__":
    main()
