"""Checks of the arguments of losses, of the options of methods, and of their heads.

Example:
    check_same_shape(z1=z1, z2=z2)
    check_positive(temperature=temperature)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from jessl.objectives._heads import Head


def check_same_shape(**tensors: torch.Tensor) -> None:
    """Refuse tensors that are not all of one shape [batch, dim].

    Raises:
        ValueError: naming the arguments and their shapes.
    """
    shapes = {name: tuple(t.shape) for name, t in tensors.items()}
    if len(set(shapes.values())) > 1 or any(len(s) != 2 for s in shapes.values()):
        actual = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        names = " and ".join(shapes)
        raise ValueError(f"{names}: expected tensors of one shape [batch, dim], got {actual}")


def check_rows(least: int, reason: str, z: torch.Tensor) -> None:
    """Refuse a batch [batch, dim] of fewer than `least` rows.

    Raises:
        ValueError: naming the reason.
    """
    if len(z) < least:
        raise ValueError(f"batch: expected at least {least} rows {reason}, got {len(z)}")


def check_view_stacks(student: torch.Tensor, teacher: torch.Tensor) -> None:
    """Refuse anything but [views, batch, dim] and [n_global, batch, dim] of the same images.

    Raises:
        ValueError: naming the shapes, or fewer than two views.
    """
    s, t = list(student.shape), list(teacher.shape)
    if len(s) != 3 or len(t) != 3 or s[1:] != t[1:] or t[0] > s[0]:
        raise ValueError(
            "student and teacher: expected [views, batch, dim] and [global views, batch, dim], "
            f"got {s} and {t}"
        )
    check_view_count(s[0])


def check_view_count(views: int, least: int = 2) -> None:
    """Refuse fewer views of an image than a loss needs.

    Raises:
        ValueError: naming both numbers.
    """
    if views < least:
        raise ValueError(f"views: expected at least {least} of an image, got {views}")


def check_positive(**values: float) -> None:
    """Refuse numbers that are not above 0.

    Raises:
        ValueError: naming the first of them.
    """
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{name}: expected a number above 0, got {value}")


def check_at_least(least: float, **values: float) -> None:
    """Refuse numbers below `least`.

    Raises:
        ValueError: naming the first of them.
    """
    for name, value in values.items():
        if not value >= least:
            raise ValueError(f"{name}: expected at least {least:g}, got {value}")


def check_same_width(option: str, head: Head, projector: Head) -> None:
    """Refuse a second head whose outputs are not as wide as the projector's.

    Args:
        option: what the error calls the head, such as "predictor of byol".
        head, projector: their `out` is compared.

    Raises:
        ValueError: naming both widths.
    """
    if head.out != projector.out:
        raise ValueError(
            f"{option}: expected an output of width {projector.out}, as the projector's, "
            f"got {head.out}"
        )
