"""The encoder that a fine-tuning starts from, and the run that trains it on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from jessl.config import Finetune, Pretrain
from jessl.core.devices import pick_device
from jessl.data import Source
from jessl.encoders import Encoder
from jessl.encoders.checkpoints.open_checkpoint import FAMILY, parse_checkpoint
from jessl.encoders.nets.pixels import NAME as PIXELS
from jessl.extraction.channels import band_normalisation
from jessl.extraction.open_encoder import open_encoder
from jessl.extraction.opened_encoder import OpenedEncoder, weights_sha256
from jessl.runs import is_run

_LIBRARIES = ("timm", "torchvision", "hf")
# optimizer steps of a training whose epochs the user left open
_STEPS, _LEAST_EPOCHS, _MOST_EPOCHS = 400, 10, 100
_MOST_BATCH = 64
# records of the loss
_LOSSES = 100
# evaluations of a training that is stopped by held-out images
_EVALUATIONS = 20


@dataclass(frozen=True, eq=False)
class Start:
    """The encoder to start from.

    Attributes:
        opened: with its weights.
        init: the field of `Pretrain` that loads them.
    """

    opened: OpenedEncoder
    init: str


def open_start(config: Finetune, images: Source) -> Start:
    """Open the encoder of `init`.

    Args:
        config: the options.
        images: whose bands an encoder by name takes.

    Raises:
        ValueError: for what `open_encoder` refuses, and weights that a training cannot start from.
    """
    spec = config.init
    named = spec.partition(":")[0] in _LIBRARIES
    if config.size is not None and not named:
        raise ValueError(
            f"size: expected None for an encoder that has its own, {spec}, got {config.size}"
        )
    if spec.partition(":")[0] in (PIXELS, "random"):
        raise ValueError(
            f"init: expected an encoder with trained weights, got {spec}; --objective supervised "
            "of jessl pretrain trains from random ones"
        )
    net, _, provenance = open_encoder(
        spec, size=config.size, normalisation=band_normalisation(images)
    )
    file = None if named or Path(spec).exists() else parse_checkpoint(spec, None, None)
    if file is not None and file.key is not None:
        raise ValueError(
            f"init: expected a file of one encoder, got {spec} with the key {file.key}"
        )
    init = "pretrained" if named else spec.removeprefix(FAMILY) if file is None else str(file.path)
    opened = OpenedEncoder(
        spec=spec,
        encoder=net.to(pick_device(config.device)).eval(),
        provenance=provenance,
        sha256=weights_sha256(net),
        parameters=sum(p.numel() for p in net.parameters()),
        weights_mb=sum(t.numel() * t.element_size() for t in net.state_dict().values()) / 1e6,
    )
    return Start(opened, init)


def run_config(
    config: Finetune,
    start: Start,
    *,
    out: Path,
    labels: Path,
    n_train: int,
    stop: int,
    flip: float,
    epochs: int | None = None,
    head: Path | None = None,
) -> Pretrain:
    """The run that trains the encoder and a linear classifier on the labelled images.

    Args:
        out: its folder; a run in it goes on.
        labels: CSV file of the images.
        n_train: images that it trains on; stop: those held out to stop it.
        flip: probability of a horizontal flip.
        epochs: None: by `config`.
        head: file of the classifier to start from; None: random weights.
    """
    net: Encoder = start.opened.encoder
    # batch norm and the mean of a batch need two images
    by_data = 2 ** (max(2, n_train // 4).bit_length() - 1)
    batch_size = min(config.batch_size or min(by_data, _MOST_BATCH), n_train)
    if epochs is None:
        steps = -(-_STEPS // (n_train // batch_size))
        epochs = config.epochs or min(max(steps, _LEAST_EPOCHS), _MOST_EPOCHS)
    options: dict[str, int | float | str] = {}
    if config.label_smoothing:
        options["label_smoothing"] = config.label_smoothing
    if head is not None:
        options["classifier"] = str(head)
    return Pretrain(
        data=config.data,
        labels=str(labels),
        x_key=config.x_key,
        y_key=config.y_key,
        bits=config.bits,
        value_range=config.value_range,
        out=str(out),
        resume=is_run(out),
        objective="supervised",
        objective_options=options,
        encoder=net.name,
        stem=None if net.name.partition(":")[0] == "smallconv" else net.stem,
        dim=None if net.expansion is None else net.dim,
        init=start.init,
        views="simclr",
        view_options={
            "min_scale": config.min_scale,
            "flip": flip,
            "strength": config.strength,
            "gray": 0.0,
            "blur": 0.0,
        },
        size=net.preprocess.size,
        epochs=epochs,
        batch_size=batch_size,
        lr=config.lr,
        layer_decay=config.layer_decay,
        weight_decay=config.weight_decay,
        ema_weights=config.ema_weights,
        labelled_only=True,
        holdout=stop,
        evaluate_epochs=-(-epochs // _EVALUATIONS) if stop else 0,
        patience=config.patience if stop else None,
        online_probes=False,
        tune=False,
        keep_checkpoints=1,
        log_steps=max(1, epochs * (n_train // batch_size) // _LOSSES),
        workers=config.workers,
        seed=config.seed,
        log=config.log,
        log_project=config.log_project,
        device=config.device,
    )
