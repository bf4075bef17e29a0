"""Other libraries for `bench_peers.py`, each in a throwaway virtual environment of its own.

The environment also sees the packages of this one, so torch is not installed again, and pip is
not allowed to replace it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from harness import Missing, say

# the same in all environments, or the comparison would be one of torch's versions
_FIXED = ("torch", "torchvision", "numpy")
_MOST_SECONDS = 600


@dataclass(frozen=True)
class Peer:
    """How to install a library.

    Attributes:
        package: its name at the package index, and that of its metadata.
        requirements: what `pip install` gets, in this order.
        unpinned: what of it is installed without its own requirements, because they name releases
            of torch that this Python has no wheels for.
        module: imported to see whether it works.
    """

    package: str
    requirements: tuple[str, ...]
    module: str
    unpinned: tuple[str, ...] = ()


PEERS = {
    "lightly": Peer("lightly", ("lightly",), "lightly.transforms"),
    "stable-pretraining": Peer(
        "stable-pretraining", ("stable-pretraining",), "stable_pretraining.forward"
    ),
    # its release pins torch 1.9.1 and Lightning 1.4; its code runs until Lightning 1.9
    "solo-learn": Peer(
        "solo-learn",
        ("setuptools<80", "pytorch-lightning<2", "lightning-bolts", "einops"),
        "solo.methods",
        unpinned=("solo-learn",),
    ),
}


def python_of(name: str, folder: Path, *, install: bool) -> str:
    """The interpreter that has the library, installed at the first call.

    Raises:
        Missing: when it cannot be installed or imported; the reason is remembered in `folder`.
    """
    place = folder / name
    python = place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    reason = place / "why-not.txt"
    if reason.exists():
        raise Missing(f"{reason.read_text()} (remove {place.name} from the cache to try again)")
    if (place / "works.txt").exists():
        return str(python)
    if not install:
        raise Missing("not installed, and --no-install was chosen")
    try:
        _install(PEERS[name], place, str(python))
    except Missing as error:
        reason.write_text(str(error))
        raise
    return str(python)


def _install(peer: Peer, place: Path, python: str) -> None:
    say(f"{peer.package}: installing into {place}")
    shutil.rmtree(place, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(place)], "making the environment")
    paths = {"base": str(place), "platbase": str(place)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    ours = sysconfig.get_path("purelib")
    # its own packages come first; addsitedir also follows the .pth files of an editable install
    (packages / "packages-of-jessl.pth").write_text(f"import site; site.addsitedir({ours!r})\n")
    fixed = place / "constraints.txt"
    fixed.write_text("".join(f"{name}=={version(name).split('+')[0]}\n" for name in _FIXED))
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if peer.unpinned:
        _run([*pip, "--no-deps", *peer.unpinned], "pip")
    _run([*pip, "--constraint", str(fixed), *peer.requirements], "pip")
    _run([python, "-W", "ignore", "-c", f"import {peer.module}"], "import")
    (place / "works.txt").write_text(version_in(python, peer.package))


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MOST_SECONDS)
    except subprocess.TimeoutExpired:
        raise Missing(f"{what}: not finished after {_MOST_SECONDS} s") from None
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        wrong = [line for line in lines if line.startswith("ERROR")] or lines[-1:]
        raise Missing(f"{what}: {wrong[0].strip()[:200]}")


def version_in(python: str, package: str) -> str:
    """Version of a package in another environment."""
    if python == sys.executable:
        try:
            return version(package)
        except PackageNotFoundError:
            return "unknown"
    code = f"from importlib.metadata import version; print(version({package!r}))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"
