"""Whether a JSON value has the type that a field of an option class announces."""

from __future__ import annotations

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "None": (type(None),),
}


def matches_annotation(value: object, annotation: str) -> bool:
    """Whether `value` is of the type `annotation`: a union of plain types, or a dict.

    Example:
        >>> matches_annotation(0.1, "float | None"), matches_annotation(True, "int")
        (True, False)
    """
    if annotation.startswith("dict"):
        return isinstance(value, dict)
    kinds = [kind.strip() for kind in annotation.split("|")]
    if isinstance(value, bool):
        return "bool" in kinds
    return any(isinstance(value, _TYPES[kind]) for kind in kinds)
