"""Objectives: one file for each method; the folder is the registry.

Each file without a leading underscore offers, in `__all__`, its pure loss function, its class and
its frozen config with `build(dim)`, which become names of this package. May import config and core.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

from jessl.config.field_types import annotation_text, convert_to_annotation
from jessl.core.deprecation import renamed_names
from jessl.core.discovery import public_modules
from jessl.core.extensions import Extensions
from jessl.core.random import seeded
from jessl.core.resources import refuse_sizes_beyond_memory
from jessl.core.validation import unknown_name
from jessl.objectives._base import Objective as Objective
from jessl.objectives._base import Representations as Representations
from jessl.objectives._base import Terms as Terms
from jessl.objectives._base import TrainingPosition as TrainingPosition
from jessl.objectives._config import ObjectiveConfig as ObjectiveConfig
from jessl.objectives._config import check_config, is_config

# for objectives of other packages
from jessl.objectives._heads import apply_to_views as apply_to_views
from jessl.objectives._heads import build_head as build_head
from jessl.objectives._views import gather_batch as gather_batch
from jessl.objectives._views import unordered_pairs as unordered_pairs

CONFIGS: dict[str, type[ObjectiveConfig]] = {}

# files are imported at once: imported later, a file that is named like its function (vicreg.py)
# would replace the function as an attribute of this package
for _module in public_modules(__name__, __path__).values():
    for _name in _module.__all__:
        _member = getattr(_module, _name)
        globals()[_name] = _member
        if is_config(_member):
            CONFIGS[_member.name] = _member


OBJECTIVES = Extensions("objective", CONFIGS, check_config)


def register_objective(config: type[ObjectiveConfig], name: str | None = None) -> None:
    """Let this process find an objective of yours by its name.

    Other processes (workers of a sweep, a resumed run, the command line) find it where its class is
    in a module that they can import; a class of a notebook is known to the notebook alone.

    Example:
        jessl.register_objective(HingeConfig)
        jessl.pretrain(jessl.Pretrain(data="photos", objective="hinge"))

    Args:
        config: a dataclass with the class variable `name` and `build(dim)`, which returns a
            `jessl.objectives.Objective`; its fields, with defaults, are the objective's options.
        name: None: `config.name`.

    Raises:
        ValueError: for a class that is not such a config, and a name that is taken.
    """
    OBJECTIVES.register(getattr(config, "name", "") if name is None else name, config)


def build_objective(
    name: str, dim: int, options: Mapping[str, object] | None = None, *, imports: bool = True
) -> Objective:
    """Build the objective `name` for representations of width `dim`.

    Example:
        build_objective("vicreg", 512, {"cov": 4.0})

    Args:
        name: a method, such as "vicreg", or one of another package (`OBJECTIVES.find`).
        dim: width of the encoder's output.
        options: fields of the method's config, such as {"cov": 4.0}.
        imports: whether "package.module:Name" may be imported; False for names from files.

    Raises:
        ValueError: for an unknown method or option, with the nearest names, or a value of another
            type or out of range.
    """
    config = OBJECTIVES.find(name, imports=imports)
    fields = {f.name: f for f in dataclasses.fields(config)}
    values = dict(options or {})
    for option, value in values.items():
        if option not in fields:
            raise ValueError(unknown_name(f"option of {name}", option, fields))
        values[option] = convert_to_annotation(
            f"option {option} of {name}", value, annotation_text(fields[option].type)
        )
    with refuse_sizes_beyond_memory(f"objective {name} with these options"):
        objective = config(**values).build(dim)
    if not isinstance(objective, Objective):
        raise ValueError(
            f"objective {name}: expected build(dim) to return a jessl.objectives.Objective, got "
            f"{type(objective).__name__}"
        )
    return objective


def objective_class(config: type[ObjectiveConfig]) -> type[Objective]:
    """The class of the objectives of a config; its heads are built only where no hint names it."""
    try:
        built = get_type_hints(config.build).get("return")
    except NameError:  # of a name that its module imports for type checkers alone
        built = None
    if isinstance(built, type) and issubclass(built, Objective):
        return built
    with seeded(0):
        return type(config().build(16))


if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...

else:
    __getattr__ = renamed_names(__name__, Moment="TrainingPosition")
