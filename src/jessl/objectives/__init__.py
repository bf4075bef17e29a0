"""Objectives: one file a method; the folder is the registry.

Every file here without a leading underscore is a method. It offers, in __all__, its pure
loss function, its class and its frozen config with `build(dim)`; they become names of this package.
The files are imported now, not later, so that a file named like its function (vicreg.py) cannot
come to stand in the function's place.
"""

from __future__ import annotations

import dataclasses
import math
import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jessl.core.validation import check_choice, unknown_name
from jessl.objectives._base import Objective as Objective
from jessl.objectives._base import Terms as Terms
from jessl.objectives._base import TrainingPosition as TrainingPosition

CONFIGS: dict[str, Any] = {}

for _file in pkgutil.iter_modules(__path__):
    if _file.name.startswith("_"):
        continue
    _module = import_module(f"{__name__}.{_file.name}")
    for _name in _module.__all__:
        _member = getattr(_module, _name)
        globals()[_name] = _member
        if isinstance(_member, type) and dataclasses.is_dataclass(_member):
            CONFIGS[_member.name] = _member  # type: ignore[attr-defined]


def build_objective(name: str, dim: int, options: dict[str, Any] | None = None) -> Objective:
    """The objective `name` for representations of width `dim`.

    Args:
        name: a method, such as "vicreg".
        dim: width of the encoder's output.
        options: fields of the method's config, such as {"cov": 4.0}.

    Raises:
        ValueError: for an unknown method or option, with the nearest names.
    """
    config = CONFIGS[check_choice("objective", name, CONFIGS)]
    fields = {f.name: f for f in dataclasses.fields(config)}
    values = dict(options or {})
    for option, value in values.items():
        if option not in fields:
            raise ValueError(unknown_name(f"option of {name}", option, fields))
        values[option] = _fitting(f"option {option} of {name}", value, str(fields[option].type))
    return config(**values).build(dim)


def _fitting(name: str, value: Any, annotation: str) -> Any:
    """A value as a field of a config takes it.

    Raises:
        ValueError: for a value of another kind.
    """
    kinds = {kind.strip() for kind in annotation.split("|")}
    if value is None and "None" in kinds:
        return None
    if "bool" in kinds:
        if value not in (0, 1, True, False, "true", "false"):
            raise ValueError(f"{name} must be true or false, got {value!r}")
        return value in (1, True, "true")
    if "float" in kinds:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"{name} must be a number, got {value!r}")
        if not math.isfinite(value):
            raise ValueError(f"{name} must be finite, got {value}")
        return float(value)
    if "str" in kinds:
        return str(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} must be a whole number, got {value!r}")
    return value


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
