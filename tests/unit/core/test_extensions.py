"""Names from other packages: what finds them, what imports them, and what does not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jessl.core import extensions
from jessl.core.extensions import VARIABLE, Extensions

MODULE = "class Loss:\n    pass\n\n\nclass Hinge:\n    '''config'''\n"


def _check(member: object, where: str) -> type:
    if not isinstance(member, type) or member.__doc__ is None:
        raise ValueError(f"{where}: expected a class with a docstring, got {member!r}")
    return member


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Extensions[type]]:
    """Extensions beside one built-in name; the working directory has the module my_losses."""
    (tmp_path / "my_losses.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(extensions, "_KINDS", {})
    before = set(sys.modules)
    _forget()
    yield Extensions("objective", {"vicreg": int}, _check)
    for module in set(sys.modules) - before:
        del sys.modules[module]
    _forget()


def _forget() -> None:
    extensions.import_extensions.cache_clear()
    extensions._entry_points.cache_clear()


def _install(folder: Path, entries: str, name: str = "own") -> None:
    """A package in a folder of its own on the path, with entry points."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entries)
    sys.path.append(str(folder))
    _forget()


def test_a_module_of_the_working_directory_is_found(names: Extensions[type]) -> None:
    here = str(Path.cwd())
    assert here not in sys.path
    assert names.find("my_losses:Hinge").__name__ == "Hinge"
    assert here in sys.path  # started processes find it too
    assert names.portable_name("my_losses:Hinge") == "my_losses:Hinge"
    assert names.find("vicreg") is int


def test_names_of_files_import_nothing(
    names: Extensions[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="is code from outside jessl") as caught:
        names.find("my_losses:Hinge", imports=False)
    assert f"{VARIABLE}=my_losses" in str(caught.value)
    assert "my_losses" not in sys.modules
    assert names.find_if_known("my_losses:Hinge") is None
    assert extensions.has_module("my_losses:Hinge")
    assert not extensions.has_module("your_losses:Hinge")
    assert "my_losses" not in sys.modules
    found = names.find("my_losses:Hinge")  # named by the user: known from then on
    assert names.find("my_losses:Hinge", imports=False) is found


def test_the_environment_can_name_modules(
    names: Extensions[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, " my_losses,")
    assert names.find("my_losses:Hinge", imports=False).__name__ == "Hinge"
    monkeypatch.setenv(VARIABLE, "no_such_module")
    _forget()
    with pytest.raises(ValueError, match=f"{VARIABLE}: there is no module 'no_such_module'"):
        names.find("hinge")


def test_registered_names(names: Extensions[type]) -> None:
    class Own:
        """A config."""

    names.register("own", Own)
    names.register("own", Own)
    assert names.find("own", imports=False) is Own
    assert names.portable_name("own") == "own"  # no other process finds a local class
    hinge = names.find("my_losses:Hinge")
    names.register("hinge", hinge)
    assert names.portable_name("hinge") == "my_losses:Hinge"
    assert names.outside_names() == extensions.outside_names("objective") == ["hinge", "own"]
    with pytest.raises(ValueError, match=r"or of other packages: hinge, own; or package\.module"):
        names.find("hing")
    for name, member, expected in (
        ("own", hinge, "is registered already"),
        ("vicreg", Own, "is a built-in objective"),
        ("a:b", Own, "expected letters, digits and underscores"),
        ("other", 3, "objective other: expected a class with a docstring, got 3"),
    ):
        with pytest.raises(ValueError, match=expected):
            names.register(name, member)


def test_entry_points_of_installed_packages(names: Extensions[type], tmp_path: Path) -> None:
    _install(tmp_path / "site", "[jessl.objectives]\nhinge = my_losses:Hinge\nbad = my_losses\n")
    assert names.outside_names() == ["bad", "hinge"]
    assert "my_losses" not in sys.modules
    # what an installed package declares is known, also by the name in a run's config.json
    assert names.find("my_losses:Hinge", imports=False) is names.find("hinge")
    assert names.portable_name("hinge") == "my_losses:Hinge"
    with pytest.raises(ValueError, match=r"objective bad: expected an entry point package\.module"):
        names.find("bad")
    _install(tmp_path / "second", "[jessl.objectives]\nhinge = my_losses:Loss\n", "other")
    fresh = Extensions("objective", {}, _check)
    with pytest.raises(ValueError, match="got my_losses:Hinge and my_losses:Loss; give one"):
        fresh.find("hinge")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("my_loses:Hinge", "there is no module 'my_loses' .* did you mean 'my_losses'"),
        ("my_losses:Hing", "my_losses has no 'Hing'; did you mean 'Hinge'"),
        ("my_losses:Loss", "expected a class with a docstring, got .*; my_losses has Hinge"),
        ("my_losses.py:Hinge", "got the file my_losses.py: write my_losses:Hinge"),
        ("my_losses.deep:Hinge", "there is no module 'my_losses.deep'"),
        ("broken:Hinge", "importing broken failed: SyntaxError"),
        ("needy:Hinge", "importing needy failed: No module named 'not_there'"),
        ("leaving:Hinge", "importing leaving failed: SystemExit: 3"),
        ("vicregg", r"did you mean 'vicreg'\? Allowed: vicreg; or package\.module:Name"),
    ],
)
def test_mistakes_are_one_line(names: Extensions[type], name: str, expected: str) -> None:
    Path("broken.py").write_text("def f(:\n")
    Path("needy.py").write_text("import not_there\n")
    Path("leaving.py").write_text("raise SystemExit(3)\n")
    with pytest.raises(ValueError, match=expected) as caught:
        names.find(name)
    assert "\n" not in str(caught.value)


def test_short_names() -> None:
    assert extensions.short_name("a.b:Outer.Inner") == "Inner"
    assert extensions.short_name("vicreg") == "vicreg"
    assert not extensions.is_outside("a b:C")
