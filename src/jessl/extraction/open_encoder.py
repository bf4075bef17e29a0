"""Opening an encoder by name, file of weights, run or checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from jessl import runs
from jessl.config import ResolvedPretrain
from jessl.core import extensions
from jessl.core.files import contained
from jessl.core.log import log
from jessl.core.random import seeded
from jessl.core.validation import refuse_path_of_the_same_name
from jessl.encoders import Encoder, build_encoder, load_weights
from jessl.encoders.build import Normalisation
from jessl.encoders.checkpoints import open_checkpoint as foreign
from jessl.encoders.checkpoints.export_folder import exported_weights, is_export, open_export
from jessl.encoders.nets.pixels import NAME as PIXELS
from jessl.encoders.nets.smallconv import DEFAULT_WIDTH
from jessl.encoders.outside import is_known_outside, portable_encoder
from jessl.encoders.stem_channels import adaptation
from jessl.extraction.reading import TRAINED_ON, trained_on
from jessl.objectives import OBJECTIVES, Objective, build_objective
from jessl.training import checkpoint

# in front of an encoder: with random weights
_RANDOM = "random:"
# networks larger than their checkpoint by this factor are not built to be compared with it
_LARGER = 4


def open_encoder(
    encoder: str | Path | runs.Run | Encoder,
    *,
    init: str | Path | None = None,
    stem: str | None = None,
    size: int | None = None,
    seed: int = 0,
    arch: str | None = None,
    key: str | None = None,
    normalisation: Callable[[], Normalisation] | None = None,
) -> tuple[Encoder, Objective | None, dict[str, object]]:
    """(encoder, its objective where it has one, provenance of both as JSON values).

    Arguments are those of `jessl.embed`. `normalisation` gives mean and standard deviation of the
    bands for encoders by name, which take as many channels; runs have their own. Where weights of a
    file were loaded, "weights_report" in the provenance lists what was taken of it.

    Raises:
        ValueError: for an unknown encoder, options that do not go with it, or weights that do not
            fit.

    Example:
        encoder, _, provenance = open_encoder("timm:resnet18")
    """
    if isinstance(encoder, Encoder):
        _refuse_file_options(encoder.name, arch=arch, key=key)
        return encoder, None, {"encoder": encoder.name}
    if isinstance(encoder, runs.Run):
        _refuse_run_options(str(encoder.path), init, stem, size, arch=arch, key=key)
        return _open_run(encoder)
    name = str(encoder)
    if name.startswith(_RANDOM):
        _refuse_file_options(name, arch=arch, key=key)
        if init is not None:
            raise ValueError(f"encoder {name} has random weights: leave init out")
        return _open_random(name.removeprefix(_RANDOM), stem, size, seed, normalisation)
    if name == PIXELS:
        refuse_path_of_the_same_name("encoder", name, f"{PIXELS}:32")
    if name == "smallconv":
        refuse_path_of_the_same_name("encoder", name, f"smallconv:{DEFAULT_WIDTH}")
    name = portable_encoder(name)
    folder = _export_folder(name)
    if folder is not None:
        _refuse_file_options(f"the export {folder}", arch=arch, key=key)
        if init is not None or stem is not None:
            raise ValueError("an export has its own weights and stem: leave init and stem out")
        return _open_export(folder, size)
    step = checkpoint_step(name)
    if step is not None or runs.is_run(name):
        _refuse_run_options(name, init, stem, size, arch=arch, key=key)
        return _open_run(runs.Run.open(name)) if step is None else _open_run(*step)
    if Path(name).is_dir():
        runs.Run.open(name)  # raises, with the reason why it is no run
    file = foreign.parse_checkpoint(name, arch, key if init is None else None)
    if file is not None:
        if init is not None:
            raise ValueError(f"encoder {name} has its own weights: leave init out")
        net, loaded = foreign.open_checkpoint(
            file,
            stem=stem,
            size=size,
            normalisation=None if normalisation is None else normalisation(),
        )
        return (
            net,
            None,
            {
                "encoder": net.name,
                "stem": net.stem,
                "weights": str(file.path),
                "weights_report": loaded.as_json(),
            },
        )
    random = str(init) == "random"
    pretrained = init is None or str(init) == "pretrained"
    if random or pretrained:
        _refuse_file_options(name, arch=arch, key=key)
    with seeded(seed):
        net = build_encoder(
            name,
            size=size,
            stem=stem,
            pretrained=pretrained,
            normalisation=None if normalisation is None else normalisation(),
        )
    # encoders of transformers report what was taken for the representation
    report = getattr(net.body, "report", None)
    if init is not None and not random and not pretrained:
        report = load_weights(net, weights_file(init), key=key)
    published = "as built" if is_known_outside(net.name) else "published"
    weights = f"random, seed {seed}" if random else str(init or published)
    provenance: dict[str, object] = {"encoder": net.name, "stem": net.stem, "weights": weights}
    if report is not None:
        provenance["weights_report"] = report.as_json()
    if pretrained and net.channels != 3:
        provenance["stem_adapted"] = adaptation(net.channels)
        log.note(f"{net.name}: {adaptation(net.channels)}")
    return net, None, provenance


def _refuse_run_options(
    run: str,
    init: str | Path | None,
    stem: str | None,
    size: int | None,
    *,
    arch: str | None,
    key: str | None,
) -> None:
    _refuse_file_options(run, arch=arch, key=key)
    if init is not None or stem is not None or size is not None:
        raise ValueError("a run has its own weights, stem and size: leave init, stem, size out")


def _open_random(
    name: str,
    stem: str | None,
    size: int | None,
    seed: int,
    normalisation: Callable[[], Normalisation] | None,
) -> tuple[Encoder, Objective | None, dict[str, object]]:
    """An encoder by name with random weights, or a run as it was before its training."""
    if not runs.is_run(name):
        return open_encoder(
            name, init="random", stem=stem, size=size, seed=seed, normalisation=normalisation
        )
    if stem is not None or size is not None:
        raise ValueError("a run has its own stem and size: leave stem and size out")
    encoder, objective = open_untrained(runs.Run.open(name))
    weights = f"random, seed {runs.Run.open(name).resolved_config().seed}"
    return encoder, objective, {"encoder": encoder.name, "stem": encoder.stem, "weights": weights}


def _export_folder(encoder: str | Path) -> str | None:
    """The folder behind OUT or ckpt:OUT where `jessl.export` wrote it."""
    folder = str(encoder).removeprefix(foreign.FAMILY)
    return folder if is_export(folder) else None


def _open_export(folder: str, size: int | None) -> tuple[Encoder, None, dict[str, object]]:
    net, report, description = open_export(folder, size=size)
    provenance: dict[str, object] = {
        "encoder": net.name,
        "stem": net.stem,
        "weights": f"export {Path(folder).resolve().name}, format {description.format}",
        "source": dict(description.source),
    }
    if TRAINED_ON in description.source:
        provenance[TRAINED_ON] = description.source[TRAINED_ON]
    if report is not None:
        provenance["weights_report"] = report.as_json()
    return net, None, provenance


def _refuse_file_options(encoder: str, **options: str | None) -> None:
    for argument, value in options.items():
        if value is not None:
            raise ValueError(f"{argument} {value!r} is for a file of weights; {encoder} is none")


def checkpoint_step(path: str | Path) -> tuple[runs.Run, Path] | None:
    """The run, and the folder itself, of RUN/checkpoints/step-000000120; None for all else."""
    folder = Path(path).resolve()
    if not folder.is_dir() or folder not in [p for _, p in checkpoint.steps(folder.parent)]:
        return None
    run = folder.parents[1]
    return (runs.Run.open(run), folder) if runs.is_run(run) else None


def weights_file(init: str | Path) -> Path:
    """The file behind --init: itself, or that of an export, a checkpoint or a run's newest one."""
    folder = _export_folder(init)
    if folder is not None:
        file, description = exported_weights(folder)
        if description.encoder.startswith("hf:"):
            raise ValueError(
                f"init: {folder} is a model of transformers; give --encoder hf:{folder} --init "
                "pretrained"
            )
        return file
    step = checkpoint_step(init)
    if step is not None:
        return contained(step[1], checkpoint.MODEL)
    if not runs.is_run(init):
        return Path(init)
    steps = checkpoint.steps(runs.Run.open(init).checkpoints)
    if not steps:
        raise ValueError(f"run {init} has no checkpoint yet")
    return contained(steps[-1][1], checkpoint.MODEL)


def trained_on_of_weights(init: str | Path) -> dict[str, object]:
    """How the images were read that the weights behind --init were trained on, as provenance."""
    if (folder := _export_folder(init)) is not None:
        known = exported_weights(folder)[1].source.get(TRAINED_ON)
    else:
        step = checkpoint_step(init)
        if step is None and not runs.is_run(init):
            return {}
        known = trained_on(runs.Run.open(init) if step is None else step[0])
    return {} if known is None else {TRAINED_ON: known}


def build_untrained(
    config: ResolvedPretrain, *, pretrained: bool = False, imports: bool = True
) -> tuple[Encoder, Objective]:
    """Encoder and objective of a run before its first step: weights come from its seed alone.

    Args:
        config: of the run.
        pretrained: with the weights published with the encoder.
        imports: whether code from outside jessl that the configuration names may be imported.

    Example:
        encoder, objective = build_untrained(run.resolved_config())
    """
    with seeded(config.seed):
        encoder = _build_encoder(config, pretrained=pretrained, imports=imports)
        return encoder, _build_objective(config, encoder.dim, imports=imports)


def open_untrained(run: runs.Run) -> tuple[Encoder, Objective]:
    """The encoder of a run as it was before training, made again from the run's seed.

    Raises:
        ValueError: for a run that started from other weights: it was never untrained.
    """
    config = run.resolved_config()
    if config.init is not None:
        raise ValueError(
            f"run {run.path} started from the weights {config.init}: it has no untrained encoder"
        )
    return build_untrained(config, imports=False)


def _build_encoder(
    config: ResolvedPretrain, *, pretrained: bool = False, imports: bool = False
) -> Encoder:
    return build_encoder(
        config.encoder,
        size=config.size,
        stem=config.stem,
        pretrained=pretrained,
        dim=config.dim,
        normalisation=_normalisation(config),
        imports=imports,
    )


def _build_objective(config: ResolvedPretrain, dim: int, *, imports: bool = False) -> Objective:
    return build_objective(config.objective, dim, config.objective_options, imports=imports)


def _normalisation(config: ResolvedPretrain) -> Normalisation | None:
    """Of the bands that a run was trained on; None: RGB."""
    if config.mean is None or config.std is None:
        return None
    if len(config.mean) != len(config.std) or not config.mean:
        raise ValueError("mean, std: expected a number for each band in the run's config.json")
    return config.mean, config.std


def _count_values(config: ResolvedPretrain, *, has_objective: bool) -> int | None:
    """Values of the networks of a run, without taking memory; None where torch cannot count them.

    The configuration may be a stranger's: a width of it must not fill the memory.

    Raises:
        ValueError: for sizes beyond torch.
    """
    try:
        with torch.device("meta"):
            encoder = _build_encoder(config)
            objective = _build_objective(config, encoder.dim) if has_objective else None
    except RuntimeError as error:
        if "meta" not in str(error):
            raise
        return None  # the network computes with its values while it is built
    modules = [encoder] if objective is None else [encoder, objective]
    return sum(t.numel() for module in modules for t in module.state_dict().values())


def _open_run(
    run: runs.Run, at: Path | None = None
) -> tuple[Encoder, Objective | None, dict[str, object]]:
    """Encoder of the newest checkpoint that can be read, or of the one in the folder `at`.

    No objective where it is one from outside jessl that is not known here: config.json, which may
    be a stranger's, imports no code.
    """
    config = run.resolved_config()
    if at is None:
        latest, notes = checkpoint.load_latest(run.checkpoints)
    else:
        latest, notes = checkpoint.load(at), []
    if latest is None:
        raise ValueError("; ".join([f"run {run.path} has no checkpoint that can be read", *notes]))
    held = sum(tensor.numel() for tensor in latest.tensors.values())
    has_objective = OBJECTIVES.find_if_known(config.objective) is not None
    needed = _count_values(config, has_objective=has_objective)
    if needed is not None and needed > _LARGER * held:
        raise ValueError(
            f"run {run.path}: the networks of its config.json have {needed:,} values and its "
            f"checkpoint holds {held:,}: they are not of one training"
        )
    net = _build_encoder(config)
    objective = _build_objective(config, net.dim) if has_objective else None
    where = latest.path / checkpoint.MODEL
    checkpoint.restore({"encoder": net}, latest.tensors, where)
    if objective is not None:
        checkpoint.restore({"objective": objective}, latest.tensors, where)
    else:
        log.note(_without_objective(run, config.objective))
    provenance: dict[str, object] = {
        "encoder": net.name,
        "stem": net.stem,
        "weights": f"run {run.name}, step {latest.step}",
        "objective": config.objective,
    }
    if (known := trained_on(run)) is not None:
        provenance[TRAINED_ON] = known
    for note in notes:
        log.note(f"{note}; the weights of step {latest.step} are taken")
    if notes:
        provenance["damaged_checkpoints"] = notes
    return net, objective, provenance


def _without_objective(run: runs.Run, name: str) -> str:
    """One line about a run whose objective is not known here."""
    makes = "registering or installing it"
    if extensions.is_outside(name):
        makes = f"{extensions.VARIABLE}={name.partition(':')[0]}, which imports it,"
    return (
        f"run {run.path}: its objective {name} is not registered or installed here; its encoder "
        f"is used without it ({makes} makes its projector available)"
    )
