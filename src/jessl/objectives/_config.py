"""The options of an objective as a class, and what is expected of one from another package."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Protocol, TypeGuard

from jessl.config.field_types import annotation_text, is_plain
from jessl.objectives._base import Objective


class ObjectiveConfig(Protocol):
    """The options of a method: a frozen dataclass."""

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]
    name: ClassVar[str]

    def __init__(self, **options: Any) -> None: ...

    def build(self, dim: int) -> Objective:
        """The objective for representations of width `dim`."""
        ...


def is_config(member: object) -> TypeGuard[type[ObjectiveConfig]]:
    """Whether something in an objective's file is its config."""
    return isinstance(member, type) and dataclasses.is_dataclass(member)


def check_config(member: object, where: str) -> type[ObjectiveConfig]:
    """The config of an objective from another package.

    Raises:
        ValueError: in one line, for anything else.
    """
    if not (
        is_config(member)
        and isinstance(getattr(member, "name", None), str)
        and callable(getattr(member, "build", None))
    ):
        raise ValueError(
            f"{where}: expected its config, a dataclass with a text `name` and `build(dim)`, got "
            f"{getattr(member, '__name__', repr(member))}"
        )
    for field in dataclasses.fields(member):
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{where}: expected a default for the option {field.name}, got none")
        if not is_plain(annotation_text(field.type)):
            raise ValueError(
                f"{where}: option {field.name}: expected a type of int, float, bool, str and None, "
                f"got {annotation_text(field.type)}"
            )
    return member
