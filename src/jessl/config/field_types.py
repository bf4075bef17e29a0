"""Values of JSON, TOML or a command line against the types of the fields of option classes."""

from __future__ import annotations

import math

_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "None": (type(None),),
}
_PAIR = "tuple[float, float]"
_NUMBERS = "tuple[float, ...]"
_TEXTS = "tuple[str, ...]"


def matches_annotation(value: object, annotation: str) -> bool:
    """Whether `value` is of the type `annotation`: a union of plain types and tuples, or a dict.

    Example:
        >>> matches_annotation(0.1, "float | None"), matches_annotation(True, "int")
        (True, False)
    """
    if annotation.startswith("dict"):
        inner = annotation.removeprefix("dict[str, ").removesuffix("]")
        # options may also be true, false or null; what they take is up to their owner
        return isinstance(value, dict) and (
            inner in ("object", "Any")
            or all(
                isinstance(key, str)
                and (isinstance(entry, bool | None) or matches_annotation(entry, inner))
                for key, entry in value.items()
            )
        )
    kinds = _kinds(annotation)
    if isinstance(value, bool):
        return "bool" in kinds
    if isinstance(value, list | tuple):
        if _TEXTS in kinds:
            return all(isinstance(v, str) for v in value)
        are_numbers = all(matches_annotation(v, "float") for v in value)
        return are_numbers and (_NUMBERS in kinds or (_PAIR in kinds and len(value) == 2))
    return any(isinstance(value, _TYPES[kind]) for kind in kinds - {_PAIR, _NUMBERS, _TEXTS})


def convert_to_annotation(name: str, value: object, annotation: str) -> object:
    """A value as a field of that type holds it.

    A whole number becomes a float where the field is one, text where the field is text or a whole
    number, and a list of two numbers a pair; 0, 1, "true" and "false" become bools.

    Example:
        >>> convert_to_annotation("lr", 1, "float | None")
        1.0

    Args:
        name: what the error calls the field.
        value: from JSON, TOML or a command line.
        annotation: the field's type as written.

    Raises:
        ValueError: for a value of another type, or a float that is not finite.
    """
    kinds = _kinds(annotation)
    if value is None and "None" in kinds:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if _PAIR in kinds:
        if isinstance(value, list | tuple) and len(value) == 2:
            return tuple(convert_to_annotation(name, v, "float") for v in value)
        expected = "two numbers"
    elif "bool" in kinds:
        if value in (0, 1, True, False, "true", "false"):
            return value in (1, True, "true")
        expected = "true or false"
    elif "float" in kinds:
        if isinstance(value, int | float) and number and math.isfinite(value):
            return float(value)
        expected = "a finite number" if number else "a number"
    elif "str" in kinds:
        if isinstance(value, str) or ("int" in kinds and isinstance(value, int) and number):
            return str(value)
        expected = "text"
    else:
        if isinstance(value, int) and number:
            return value
        expected = "a whole number"
    raise ValueError(f"{name}: expected {expected}, got {value!r}")


def annotation_text(annotation: object) -> str:
    """The type of a dataclass field as text, however the class wrote it.

    Example:
        >>> annotation_text(float), annotation_text(int | None), annotation_text("str")
        ('float', 'int | None', 'str')
    """
    if isinstance(annotation, str):
        return annotation
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def is_plain(annotation: str) -> bool:
    """Whether a type is a union of int, float, bool, str and None: an option of one value.

    Example:
        >>> is_plain("float | None"), is_plain("list[int]")
        (True, False)
    """
    return _kinds(annotation) <= {*_TYPES}


def _kinds(annotation: str) -> set[str]:
    return {kind.strip() for kind in annotation.split("|")}
