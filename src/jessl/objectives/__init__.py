"""Objectives: one file a method; the folder is the registry.

Every file here but base.py is a method. It offers, in __all__, its pure loss function, its class
and its frozen config with `build(dim)`; they become names of this package. The files are imported
now, not later, so that a file named like its function (vicreg.py) cannot come to stand in the
function's place.
"""

from __future__ import annotations

import dataclasses
import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

from jessl.names import one_of, unknown
from jessl.objectives.base import Objective as Objective
from jessl.objectives.base import Terms as Terms

CONFIGS: dict[str, Any] = {}

for _file in pkgutil.iter_modules(__path__):
    if _file.name == "base":
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
    config = CONFIGS[one_of("objective", name, CONFIGS)]
    fields = {f.name: f for f in dataclasses.fields(config)}
    values = dict(options or {})
    for option, value in values.items():
        if option not in fields:
            raise ValueError(unknown(f"option of {name}", option, fields))
        if str(fields[option].type) == "float":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(f"option {option} of {name} must be a number, got {value!r}")
            values[option] = float(value)
        elif "int" in str(fields[option].type) and not isinstance(value, int):
            raise ValueError(f"option {option} of {name} must be a whole number, got {value!r}")
    return config(**values).build(dim)


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
