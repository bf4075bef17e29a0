"""The command line: choose the command, parse its options, run it, report the outcome.

Nothing is imported before it is needed: `jessl --help` must answer at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from jessl.core.validation import escape_control, unknown_name

if TYPE_CHECKING:
    from jessl.cli._command import Command

# command -> (what it does, class in the file of that name)
COMMANDS = {
    "demo": ("try the library on real images, in a few minutes", "DemoCommand"),
    "pretrain": ("train an encoder on images without labels", "PretrainCommand"),
    "views": ("draw the augmented views that an encoder is trained on", "ViewsCommand"),
    "pack": ("write images as resized tar shards, for fast reading", "PackCommand"),
    "embed": ("compute representations of images by any encoder", "EmbedCommand"),
    "export": ("write an encoder for timm, torchvision, transformers or ONNX", "ExportCommand"),
    "score": ("score representations without labels, with error bars", "ScoreCommand"),
    "probe": ("measure how well representations predict labels", "ProbeCommand"),
    "classify": (
        "label all images from a few labels, and say how accurately",
        "ClassifyCommand",
    ),
    "finetune": ("train an encoder on with labels, kept where that helps", "FinetuneCommand"),
    "curate": ("what to label first, duplicates, outliers, label errors", "CurateCommand"),
    "decompose": ("explain the error of representations by four components", "DecomposeCommand"),
    "select": ("choose among runs, checkpoints or encoders without labels", "SelectCommand"),
    "sweep": ("train many settings and choose one without labels", "SweepCommand"),
    "zoo": ("analyse which design choices go with the errors of many models", "ZooCommand"),
    "claims": ("what the papers claim, what came out here, and how to test it", "ClaimsCommand"),
    "watch": ("show how far a run or a study is, from another terminal", "WatchCommand"),
    "report": ("write a page about a run or a study", "ReportCommand"),
    "doctor": (
        "describe this machine, check a folder for damage and leftovers",
        "DoctorCommand",
    ),
    "bench": ("measure how fast images load on this machine", "BenchCommand"),
}

EXIT_OK, EXIT_MISTAKE, EXIT_SAVED, EXIT_INTERRUPTED = 0, 2, 75, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: the command and its options; None: those of the process.

    Returns:
        0; 2 for a user's mistake, reported in one line; 75 when SIGTERM, SIGHUP or Ctrl-C stopped
        work whose state is saved; 130 for Ctrl-C elsewhere. A bug of ours leaves its traceback (and
        exit code 1).

    Example:
        main(["score", "my-run/embeddings/projector"])
    """
    _never_fail_to_print()
    # a closed connection of training processes is our one line, not pages of torch's
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    args = list(sys.argv[1:] if argv is None else argv)
    name = args[0] if args else "help"
    try:
        if name in ("-h", "--help", "help", "-V", "--version"):
            print(_version() if name in ("-V", "--version") else _help(), flush=True)
            return EXIT_OK
        return _run(_command(name, args[1:]))
    except BrokenPipeError:  # the reader of the help closed the pipe
        _discard_output()
        return EXIT_OK
    except KeyboardInterrupt:
        print(f"jessl {name}: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except (ValueError, OSError, MemoryError, RuntimeError) as error:
        line = _one_line(error)
        if line is None or os.environ.get("JESSL_DEBUG"):
            raise
        if not getattr(error, "reported", False):  # else another process has printed it
            print(escape_control(f"jessl {name}: error: {line}"), file=sys.stderr)
        return EXIT_MISTAKE


def _command(name: str, args: list[str]) -> Command:
    """The command of this name with its options."""
    if name not in COMMANDS:
        raise ValueError(unknown_name("command", name, COMMANDS))
    from jessl.cli._parsing import parse

    command_class = getattr(import_module(f"jessl.cli.{name}"), COMMANDS[name][1])
    return parse(name, command_class, args)


def _run(command: Command) -> int:
    from jessl.cli._signals import Interrupted
    from jessl.core.log import is_first_process

    try:
        result = command.run()
    except Interrupted as stop:
        if is_first_process():
            print(escape_control(f"jessl: {stop}"), file=sys.stderr)
        return EXIT_SAVED
    if not is_first_process():
        return EXIT_OK
    try:
        if command.json:
            _print_json(result)
        else:
            command.show(result)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:  # the reader of the result closed the pipe
        _discard_output()
    return EXIT_OK


def _print_json(result: dict[str, object]) -> None:
    import json

    # characters that the stream cannot write must become JSON's escapes, not the stream's
    is_ascii = (getattr(sys.stdout, "encoding", None) or "").lower() not in ("utf-8", "utf8")
    text = json.dumps(result, indent=2, ensure_ascii=is_ascii)
    # JSON escapes control characters below 32 alone; the others stand in its strings only
    print(escape_control(text, escape=lambda letter: json.dumps(letter)[1:-1], keep="\n"))


def _never_fail_to_print() -> None:
    """A terminal that cannot show a character must not end a training."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Send what is left to nowhere, or Python complains at exit that the pipe is closed."""
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115


def _version() -> str:
    from jessl.records import versions

    return versions().split(",")[0]


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (text, _) in COMMANDS.items()]
    return "\n".join(
        [
            "usage: jessl COMMAND [options]",
            "",
            "Joint-embedding self-supervised learning of images: pretrain encoders, score them",
            "without labels, explain their errors, and choose among them.",
            "",
            "commands:",
            *lines,
            "",
            "jessl COMMAND --help lists a command's options; every command takes --json.",
            "SRC is a folder of images, a .npz or .npy file, tar shards, digits,",
            "torchvision:NAME[:split] or hf:NAME[:split].",
        ]
    )


def _one_line(error: BaseException) -> str | None:
    """An error as one line for the user; None for an error that only a bug of ours raises."""
    text = " ".join(str(error).split())
    if isinstance(error, RuntimeError):
        # torch has no class of its own for the CPU's memory
        if type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in text:
            return "out of memory; use a smaller --batch-size, --size or encoder"
        return None
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror or text}"
    if isinstance(error, MemoryError):
        return f"out of memory; {text}" if text else "out of memory"
    return text


if __name__ == "__main__":
    sys.exit(main())
