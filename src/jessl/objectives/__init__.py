"""Objectives: one file for each method; the folder is the registry.

Each file without a leading underscore offers, in `__all__`, its pure loss function, its class and
its frozen config with `build(dim)`, which become names of this package. May import config and core.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeGuard

from jessl.config.field_types import convert_to_annotation
from jessl.core.deprecation import renamed_names
from jessl.core.discovery import public_modules
from jessl.core.resources import refuse_sizes_beyond_memory
from jessl.core.validation import check_choice, unknown_name
from jessl.objectives._base import Objective as Objective
from jessl.objectives._base import Representations as Representations
from jessl.objectives._base import Terms as Terms
from jessl.objectives._base import TrainingPosition as TrainingPosition


class ObjectiveConfig(Protocol):
    """The options of a method: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    name: ClassVar[str]

    def __init__(self, **options: Any) -> None: ...

    def build(self, dim: int) -> Objective:
        """The objective for representations of width `dim`."""
        ...


def _is_config(member: object) -> TypeGuard[type[ObjectiveConfig]]:
    return isinstance(member, type) and dataclasses.is_dataclass(member)


CONFIGS: dict[str, type[ObjectiveConfig]] = {}

# files are imported at once: imported later, a file that is named like its function (vicreg.py)
# would replace the function as an attribute of this package
for _module in public_modules(__name__, __path__).values():
    for _name in _module.__all__:
        _member = getattr(_module, _name)
        globals()[_name] = _member
        if _is_config(_member):
            CONFIGS[_member.name] = _member


def build_objective(name: str, dim: int, options: Mapping[str, object] | None = None) -> Objective:
    """Build the objective `name` for representations of width `dim`.

    Example:
        build_objective("vicreg", 512, {"cov": 4.0})

    Args:
        name: a method, such as "vicreg".
        dim: width of the encoder's output.
        options: fields of the method's config, such as {"cov": 4.0}.

    Raises:
        ValueError: for an unknown method or option, with the nearest names, or a value of another
            type or out of range.
    """
    config = CONFIGS[check_choice("objective", name, CONFIGS)]
    fields = {f.name: f for f in dataclasses.fields(config)}
    values = dict(options or {})
    for option, value in values.items():
        if option not in fields:
            raise ValueError(unknown_name(f"option of {name}", option, fields))
        values[option] = convert_to_annotation(
            f"option {option} of {name}", value, str(fields[option].type)
        )
    with refuse_sizes_beyond_memory(f"objective {name} with these options"):
        return config(**values).build(dim)


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...

else:
    __getattr__ = renamed_names(__name__, Moment="TrainingPosition")
