"""What no rehearsal sees: guards of CUDA calls, pairs of page-locked copies, generators."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import jessl

SRC = Path(jessl.__file__).parent
FILES = sorted(p for p in SRC.rglob("*.py") if "cuda" in p.read_text() or "rng" in p.read_text())
# answered on machines without a GPU
_ANYWHERE = {"is_available", "device_count"}


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    yield from (f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef))


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(c.func), c) for c in ast.walk(tree) if isinstance(c, ast.Call)]


def unguarded(tree: ast.AST) -> list[str]:
    """Calls of torch.cuda outside an `if` about CUDA, and not after an early return for others."""
    guarded: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.If, ast.IfExp, ast.BoolOp)):
            test = node.values[0] if isinstance(node, ast.BoolOp) else node.test
            if any(word in ast.unparse(test) for word in ("cuda", "gpus", "_pinned")):
                guarded |= set(ast.walk(node))
    for function in functions(tree):
        for k, statement in enumerate(function.body):
            leaves = isinstance(statement, ast.If) and isinstance(statement.body[-1], ast.Return)
            if leaves and "!= 'cuda'" in ast.unparse(statement.test):
                guarded |= {n for s in function.body[k:] for n in ast.walk(s)}
    return [
        f"{name}, line {call.lineno}"
        for name, call in calls(tree)
        if name.startswith("torch.cuda.")
        and name.split(".")[2] not in _ANYWHERE
        and call not in guarded
    ]


def rng_problems(tree: ast.AST) -> list[str]:
    """The host's generator saved or restored without the device's; forks without devices."""
    found = []
    for function in functions(tree):
        names = {name for name, _ in calls(function)}
        for verb in ("get", "set"):
            if f"torch.{verb}_rng_state" in names and f"torch.cuda.{verb}_rng_state" not in names:
                found.append(f"{function.name}: torch.{verb}_rng_state alone")
    for name, call in calls(tree):
        if name.endswith("fork_rng") and not any(k.arg == "devices" for k in call.keywords):
            found.append(f"fork_rng without devices, line {call.lineno}")
    return found


def copy_problems(tree: ast.AST) -> list[str]:
    """Copies that do not wait, from memory that is not page-locked or that nobody waits for."""
    found = []
    for function in functions(tree):
        text = ast.unparse(function)
        waits = "record_event" in text or ".pin_memory().to(" in text
        if "non_blocking=" in text and not waits:
            found.append(f"{function.name}: non_blocking without page-locked memory or an event")
    whole = ast.unparse(tree)
    if "record_event" in whole and ".synchronize()" not in whole:
        found.append("an event that is never waited for")
    return found


@pytest.mark.parametrize("check", [unguarded, rng_problems, copy_problems])
def test_no_file_has_a_problem(check):
    problems = {
        str(path.relative_to(SRC)): found
        for path in FILES
        if (found := check(ast.parse(path.read_text())))
    }
    assert not problems


@pytest.mark.parametrize(
    ("check", "code"),
    [
        (unguarded, "def f(d):\n    torch.cuda.synchronize(d)"),
        (rng_problems, "def f():\n    return torch.get_rng_state()"),
        (rng_problems, "with torch.random.fork_rng():\n    pass"),
        (copy_problems, "def f(x, d):\n    return x.to(d, non_blocking=True)"),
    ],
)
def test_a_problem_is_found(check, code):
    assert check(ast.parse(code))
