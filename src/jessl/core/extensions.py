"""Objectives, scores and encoders from outside jessl: registered, installed, or named by module.

A name is looked up among those of jessl, those registered in this process, the entry points of
installed packages, and last as "package.module:Name". Files name code too (config.json of a run):
with `imports=False` a lookup imports nothing that the user has not named, registered or installed.
"""

from __future__ import annotations

import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module, invalidate_caches
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Generic, TypeVar

from jessl.core.validation import nearest_names, unknown_name

# modules that jessl imports before it looks up a name that is not its own, separated by commas
VARIABLE = "JESSL_EXTENSIONS"
FORM = "package.module:Name"

_IDENTIFIER = r"[A-Za-z_]\w*"
_DOTTED = rf"{_IDENTIFIER}(?:\.{_IDENTIFIER})*"
_FORM = re.compile(rf"{_DOTTED}:{_DOTTED}")
# modules that no other process can import by these names
_SCRIPTS = ("__main__", "__mp_main__", "builtins")

T = TypeVar("T")


# the kinds that this process has looked up so far
_KINDS: dict[str, Extensions[Any]] = {}


class Extensions(Generic[T]):
    """The members of one kind by name: those of jessl and those from outside.

    Args:
        kind: "objective", "score" or "encoder"; entry points are in the group "jessl.KINDs".
        built_in: the members of jessl, which no other can replace.
        check: returns a member, or raises ValueError with what was expected of it; the second
            argument is how the user named it.

    Example:
        OBJECTIVES = Extensions("objective", CONFIGS, check_config)
        OBJECTIVES.find("my_package.losses:HingeConfig")
    """

    def __init__(
        self, kind: str, built_in: Mapping[str, T], check: Callable[[object, str], T]
    ) -> None:
        self.kind = kind
        self._built_in = built_in
        self._check = check
        self._registered: dict[str, T] = {}
        _KINDS[kind] = self
        # "package.module:Name" -> members that the user registered, installed or named
        self._known: dict[str, T] = {}

    def register(self, name: str, member: object) -> None:
        """Add a member under a name; the same object, or its newer version, may come again.

        Raises:
            ValueError: for a name that is taken or not an identifier, and as `check`.
        """
        if not isinstance(name, str) or not re.fullmatch(_IDENTIFIER, name):
            raise ValueError(f"name: expected letters, digits and underscores, got {name!r}")
        if name in self._built_in:
            raise ValueError(f"name: {name!r} is a built-in {self.kind}; take another one")
        checked = self._check(member, f"{self.kind} {name}")
        before = self._registered.get(name)
        if before is not None and _place(before) != _place(checked):
            raise ValueError(f"name: {self.kind} {name!r} is registered already, as {before!r}")
        self._registered[name] = checked
        place = importable_name(checked)
        if place is not None:
            self._known[place] = checked

    def find(self, name: str, *, imports: bool = True) -> T:
        """The member of this name.

        Args:
            imports: whether "package.module:Name" may be imported; False for names from files.

        Raises:
            ValueError: in one line, for an unknown name (with the nearest), a module that cannot be
                imported, and something that is not of this kind.
        """
        if not isinstance(name, str):
            raise ValueError(f"{self.kind}: expected a name, got {name!r}")
        if name in self._built_in:
            return self._built_in[name]
        import_extensions()
        for members in (self._registered, self._known):
            if name in members:
                return members[name]
        entry = self._entry_point(name)
        if entry is not None:
            return self._remember(entry.value, _load(self.kind, entry), f"{self.kind} {name}")
        if not is_outside(name):
            raise ValueError(self.unknown(name))
        if not imports and name.partition(":")[0] not in _extension_modules():
            raise ValueError(
                f"{self.kind} {name} is code from outside jessl, which files do not make it "
                f"import: install the package that declares it, or set {VARIABLE}="
                f"{name.partition(':')[0]}"
            )
        return self._remember(name, _import_member(self.kind, name), f"{self.kind} {name}")

    def unknown(self, name: str) -> str:
        """The error message for a name that none of these has."""
        outside = self.outside_names()
        others = f", or of other packages: {', '.join(outside)}" if outside else ""
        return f"{unknown_name(self.kind, name, self.names())}{others}; or {FORM}"

    def find_if_known(self, name: str, *, imports: bool = False) -> T | None:
        """As `find`, and None where there is no such member."""
        try:
            return self.find(name, imports=imports)
        except ValueError:
            return None

    def names(self) -> list[str]:
        """All names: of jessl, registered, and of entry points."""
        import_extensions()
        return list(dict.fromkeys((*self._built_in, *self.outside_names())))

    def outside_names(self) -> list[str]:
        """The registered names, and those of entry points."""
        installed = {entry.name for entry in _entry_points(self.kind)}
        return sorted({*self._registered, *installed} - {*self._built_in})

    def portable_name(self, name: str) -> str:
        """The name by which any process finds a member: "package.module:Name" of registered ones.

        A member that only this process has (of a notebook) keeps its name, and so do those of
        jessl.

        Raises:
            ValueError: as `find`.
        """
        if name in self._built_in:
            return name
        member = self.find(name)
        place = importable_name(member)
        if place is not None and place not in self._known:
            self._known[place] = member
        return place or name

    def _remember(self, place: str, member: object, where: str) -> T:
        try:
            checked = self._check(member, where)
        except ValueError as error:
            others = self._others(place)
            hint = f"; {place.partition(':')[0]} has {', '.join(others)}" if others else ""
            raise ValueError(f"{error}{hint}") from None
        self._known[place] = checked
        return checked

    def _others(self, place: str) -> list[str]:
        """Members of this kind in the module of a name."""
        module = place.partition(":")[0]
        members = vars(sys.modules[module]) if module in sys.modules else {}
        return [n for n, m in members.items() if not n.startswith("_") and self._is_member(m)]

    def _is_member(self, candidate: object) -> bool:
        try:
            self._check(candidate, "")
        except ValueError:
            return False
        return True

    def _entry_point(self, name: str) -> EntryPoint | None:
        """The entry point of a name, or of the object that the name stands for."""
        candidates = {e.value: e for e in _entry_points(self.kind) if name in (e.name, e.value)}
        if len(candidates) > 1:
            raise ValueError(
                f"{self.kind} {name!r}: expected one package that declares it, got "
                f"{' and '.join(sorted(candidates))}; give one of these"
            )
        return next(iter(candidates.values()), None)


def is_outside(name: str) -> bool:
    """Whether a name has the form package.module:Name.

    Example:
        >>> is_outside("my_package.losses:HingeConfig"), is_outside("vicreg")
        (True, False)
    """
    return _FORM.fullmatch(name) is not None


def short_name(name: str) -> str:
    """The last part of package.module:Name, for names of folders; other names as they are.

    Example:
        >>> short_name("my_package.losses:HingeConfig"), short_name("vicreg")
        ('HingeConfig', 'vicreg')
    """
    return name.rpartition(":")[2].rpartition(".")[2] if is_outside(name) else name


def outside_names(kind: str) -> list[str]:
    """Names of a kind from outside jessl, for a help text: only JESSL_EXTENSIONS is imported."""
    import_extensions()
    if kind in _KINDS:
        return _KINDS[kind].outside_names()
    return sorted({entry.name for entry in _entry_points(kind)})


def has_module(name: str) -> bool:
    """Whether the first package of package.module:Name exists; nothing is imported."""
    top = name.partition(":")[0].partition(".")[0]
    return top in sys.modules or PathFinder.find_spec(top, [os.getcwd(), *sys.path]) is not None


def importable_name(member: object) -> str | None:
    """ "package.module:Name" of a class or function; None where no other process finds it there."""
    module, name = _place(member)
    if module is None or name is None or module in _SCRIPTS:
        return None
    here: object = sys.modules.get(module)
    for part in name.split("."):
        here = getattr(here, part, None)
    return f"{module}:{name}" if here is member else None


@cache
def import_extensions() -> None:
    """Import the modules that the environment variable JESSL_EXTENSIONS names, once.

    Raises:
        ValueError: for a module that cannot be imported.
    """
    for module in _extension_modules():
        _import_module(VARIABLE, module)


def _extension_modules() -> list[str]:
    return [name for n in os.environ.get(VARIABLE, "").split(",") if (name := n.strip())]


def _place(member: object) -> tuple[str | None, str | None]:
    return getattr(member, "__module__", None), getattr(member, "__qualname__", None)


@cache
def _entry_points(kind: str) -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=f"jessl.{kind}s"))


def _load(kind: str, entry: EntryPoint) -> object:
    if not is_outside(entry.value):
        raise ValueError(f"{kind} {entry.name}: expected an entry point {FORM}, got {entry.value}")
    return _import_member(kind, entry.value)


def _import_member(kind: str, name: str) -> object:
    path, _, attribute = name.partition(":")
    if path.endswith(".py"):
        module = path.removesuffix(".py")
        raise ValueError(
            f"{kind}: expected {FORM}, got the file {path}: write {module}:{attribute}"
        )
    member: object = _import_module(f"{kind} {name!r}", path)
    for part in attribute.split("."):
        if not hasattr(member, part):
            public = [n for n in dir(member) if not n.startswith("_")]
            near = nearest_names(part, public)
            hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
            raise ValueError(f"{kind} {name!r}: {path} has no {part!r}{hint}")
        member = getattr(member, part)
    return member


def _import_module(argument: str, name: str) -> object:
    """Import a module that the user named, also from the working directory, as Python would."""
    try:
        with _working_directory():
            return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not f"{name}.".startswith(f"{missing}."):
            raise ValueError(f"{argument}: importing {name} failed: {error}") from error
        near = nearest_names(missing, _modules_beside(missing))
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"{argument}: there is no module {missing!r} in the working directory or among the "
            f"installed packages{hint}"
        ) from None
    except (Exception, SystemExit) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{argument}: importing {name} failed: {type(error).__name__}: {reason}"
        ) from error


@contextmanager
def _working_directory() -> Iterator[None]:
    """Look for modules in the working directory as well; it stays where one came from there."""
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        yield
        return
    before = set(sys.modules)
    invalidate_caches()
    sys.path.append(here)
    done = False
    try:
        yield
        done = True
    finally:
        new = (sys.modules.get(name) for name in set(sys.modules) - before)
        places = [Path(f) for m in new if (f := getattr(m, "__file__", None)) is not None]
        if not done or not any(Path(here) in place.parents for place in places):
            sys.path.remove(here)


def _modules_beside(name: str) -> list[str]:
    """Names that a missing module may be a misspelling of."""
    package, dot, _ = name.rpartition(".")
    if not dot:
        return [m.name for m in pkgutil.iter_modules([os.getcwd(), *sys.path])]
    path = getattr(sys.modules.get(package), "__path__", ())
    return [f"{package}.{m.name}" for m in pkgutil.iter_modules(path)]
