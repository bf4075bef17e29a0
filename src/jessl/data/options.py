"""The options of `open_source` that commands and configurations have as attributes."""

from __future__ import annotations

from typing import Protocol, TypedDict, cast

from jessl.data.open_source import open_source
from jessl.data.sources.base import Source


class DataOptions(TypedDict, total=False):
    """Arguments of `open_source` beside the data themselves."""

    labels: str | None
    x_key: str | None
    y_key: str | None
    bits: int | None
    value_range: tuple[float, float] | None


class NamesData(Protocol):
    """Whatever names data, such as `Pretrain` and the options of a command."""

    @property
    def data(self) -> str: ...


def data_options(options: object) -> DataOptions:
    """Those of the arguments that `options` has as attributes.

    Example:
        open_source("photos", **data_options(config))
    """
    names = (name for name in DataOptions.__annotations__ if hasattr(options, name))
    return cast(DataOptions, {name: getattr(options, name) for name in names})


def open_configured(options: NamesData) -> Source:
    """The images that a configuration or a command names."""
    groups: str | None = getattr(options, "groups", None)  # of embeddings; trainings have none
    return open_source(options.data, groups=groups, **data_options(options))
