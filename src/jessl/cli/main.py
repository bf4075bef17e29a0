"""The command line: its commands, their options, and how errors are reported.

Nothing is imported before it is needed: `jessl --help` must answer at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from jessl.core.validation import unknown_name

# command -> (what it does, class in the file of that name)
COMMANDS = {
    "demo": ("the whole story on real images, in minutes", "DemoCommand"),
    "pretrain": ("train an encoder on images without labels", "PretrainCommand"),
    "views": ("a picture of what the encoder will see", "ViewsCommand"),
    "pack": ("any images to resized tar shards with an index", "PackCommand"),
    "embed": ("images to representations, by a run or any encoder", "EmbedCommand"),
    "score": ("judge representations without labels, with error bars", "ScoreCommand"),
    "probe": ("judge representations with labels", "ProbeCommand"),
    "decompose": ("say where the error of representations comes from", "DecomposeCommand"),
    "select": ("choose among runs, checkpoints or encoders without labels", "SelectCommand"),
    "sweep": ("train many settings, on many machines, and choose without labels", "SweepCommand"),
    "zoo": ("say what goes with the errors of a table of models", "ZooCommand"),
    "report": ("a page to look at, of a run or a study", "ReportCommand"),
    "bench": ("measure the loader on your images and machine", "BenchCommand"),
}

EXIT_OK, EXIT_MISTAKE, EXIT_SAVED, EXIT_INTERRUPTED = 0, 2, 75, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0; 2 for a user's mistake, told in one line; 75 when SIGTERM, SIGHUP or Ctrl-C stopped a
        training whose state is saved; 130 for Ctrl-C elsewhere. A bug of ours leaves its traceback
        (and exit code 1).
    """
    for stream in (sys.stdout, sys.stderr):
        # a terminal that cannot show a letter must not end a training
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help", "help"):
        print(_help())
        return EXIT_OK
    if args[0] in ("-V", "--version"):
        from jessl.records import versions

        print(versions().split(",")[0])
        return EXIT_OK
    name = args[0]
    try:
        if name not in COMMANDS:
            raise ValueError(unknown_name("command", name, COMMANDS))
        command = _parsed(name, args[1:])
        return _run(command)
    except BrokenPipeError:  # whoever read the help has read enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # else Python complains at exit
        return EXIT_OK
    except KeyboardInterrupt:
        print(f"jessl {name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        line = _one_line(error)
        if line is None or os.environ.get("JESSL_DEBUG"):
            raise
        if not getattr(error, "reported", False):  # another process tells it
            print(f"jessl {name}: error: {line}", file=sys.stderr)
        return EXIT_MISTAKE


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (text, _) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: jessl COMMAND [options]",
            "",
            "Joint-embedding self-supervised learning of images: pretrain, judge without labels,",
            "explain, choose.",
            "",
            "commands:",
            *lines,
            "",
            "jessl COMMAND --help tells a command's options; every command takes --json.",
            "SRC is a folder of images, a .npz or .npy file, tar shards, digits,",
            "torchvision:NAME[:split] or hf:NAME[:split].",
        ]
    )


def _parsed(name: str, args: list[str]) -> Any:
    """The command object with its options; a mistake in them becomes a ValueError of one line."""

    import tyro

    options = [a.partition("=")[0] for a in args if a.startswith("--")]
    for option in options:
        if options.count(option) > 1:
            raise ValueError(f"option {option} is given twice; which one is meant?")
    text = io.StringIO()
    try:
        with contextlib.redirect_stderr(text):
            command: Any = tyro.cli(
                getattr(import_module(f"jessl.cli.{name}"), COMMANDS[name][1]),
                prog=f"jessl {name}",
                args=args,
                config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes),
            )
        if hasattr(command, "given"):
            names = {o.lstrip("-").replace("-", "_") for o in options}
            command.given = frozenset(names | {n.removeprefix("no_") for n in names})
        return command
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise ValueError(_unboxed(text.getvalue())) from None


def _unboxed(text: str) -> str:
    """The first paragraph of tyro's framed error, and its hint, on one line."""
    lines = [line.strip("│| ") for line in text.splitlines() if line.startswith(("│", "|"))]
    parts = "\n".join(lines).replace("─", "-").split("-" * 10)
    said = " ".join(parts[0].split())
    for part in parts[1:]:
        hint = " ".join(part.strip("-").split())
        if hint.startswith("Perhaps you meant"):
            said += f". {hint}"
    return said or " ".join(text.split())


def _run(command: Any) -> int:
    from jessl.cli._base import Interrupted
    from jessl.core.log import is_first_process

    try:
        answer = command.run()
    except Interrupted as stop:
        if is_first_process():
            print(f"jessl: {stop}", file=sys.stderr)
        return EXIT_SAVED
    if not is_first_process():
        return EXIT_OK
    try:
        if command.json:
            import json

            # what the stream cannot write must be JSON's escapes, not the stream's
            plain = (getattr(sys.stdout, "encoding", None) or "").lower() not in ("utf-8", "utf8")
            print(json.dumps(answer, indent=2, ensure_ascii=plain))
        else:
            command.show(answer)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # whoever read the answer has read enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # else Python complains at exit
    return EXIT_OK


def _one_line(error: BaseException) -> str | None:
    """What a user is told of an error; None for what only our bugs raise."""
    text = " ".join(str(error).split())
    if isinstance(error, RuntimeError):
        # torch has no class of its own for the CPU's memory
        if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text:
            return "out of memory; take a smaller --batch-size, --size or encoder"
        return None
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or text}"
    if isinstance(error, MemoryError):
        return f"out of memory; {text}" if text else "out of memory"
    return text


if __name__ == "__main__":
    sys.exit(main())
