"""How a field of an option class is spelled on the command line."""

_SHORTER = {"value_range": "range"}


def option_name(field: str) -> str:
    """The option of a field.

    Example:
        >>> option_name("batch_size"), option_name("value_range")
        ('--batch-size', '--range')
    """
    return "--" + _SHORTER.get(field, field).replace("_", "-")
