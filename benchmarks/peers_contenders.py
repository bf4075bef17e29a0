"""The contenders of `bench_peers.py`: SimCLR on small images, written as each library shows it.

The libraries' own classes prepare the views, project and compute the loss; their loop is a plain
one or Lightning's, as in their example for CIFAR-10, without logging, probes and checkpoints that
can be turned off. The same for all: network, batch, the strength of the views, widths of the head,
temperature. Each is imported inside, in a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from peers_rounds import Task, Turns
from rivals_photos import MEAN, STD

# colour jitter of SimCLR at strength .5, its CIFAR-10 setting
_JITTER = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": 0.1}
_ADAMW = {"lr": 1e-3, "weight_decay": 0.01}


@dataclass(frozen=True)
class Contender:
    """One way to train.

    Attributes:
        train: trains until Turns raises Finished.
        peer: the entry of `peers_install.PEERS` that it needs; None: this environment.
        loaders: whether it has loader processes, whose number is then chosen by a trial.
        note: what is not as for the others.
    """

    train: Callable[[Task, Turns], None]
    peer: str | None
    loaders: bool
    note: str


def _jessl(task: Task, turns: Turns) -> None:
    """`jessl.pretrain` itself, by its defaults; `stop` is what it calls between two steps."""
    import importlib

    import jessl

    # the module; the room of the same name exports the function
    verb: Any = importlib.import_module("jessl.pretraining.pretrain")
    build = verb.build

    def build_and_watch(*args: Any, **options: Any) -> Any:
        parts = build(*args, **options)
        turns.watch(parts.encoder, parts.encoder.preprocess.mean, parts.encoder.preprocess.std)
        return parts

    verb.build = build_and_watch

    def stop() -> bool:
        turns.after_step()
        return False

    images = Path(task.folder) / "images.npz"
    per_epoch = len(jessl.open_source(str(images))) // task.batch_size
    config = jessl.Pretrain(
        data=str(images), objective="simclr", encoder=task.encoder, size=task.size,
        batch_size=task.batch_size, epochs=max(2, round(task.steps / per_epoch)), holdout=0,
        objective_options={
            "projector": f"{task.hidden}-{task.out}", "temperature": task.temperature
        },
        evaluate_epochs=0, checkpoint_epochs=10**6, device=task.device, seed=task.seed,
        out=str(Path(task.folder) / "run"),
    )  # fmt: skip
    verb.pretrain(config, quiet=True, stop=stop)


class _Pictures:
    """Images in memory as a torchvision data set gives them: (PIL image, label)."""

    def __init__(self, task: Task, transform: Callable[[Any], Any] | None = None) -> None:
        self.images = np.load(Path(task.folder) / "images.npz")["x"]
        self.transform = transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        picture = Image.fromarray(self.images[index])
        return (self.transform(picture) if self.transform else picture), 0


def _loader(task: Task, data: Any, **options: Any) -> Any:
    from torch.utils.data import DataLoader

    workers = task.workers or 0
    return DataLoader(
        data, task.batch_size, drop_last=True, num_workers=workers,
        pin_memory=task.device != "cpu", persistent_workers=workers > 0,
        **(options or {"shuffle": True}),
    )  # fmt: skip


def _network(task: Task) -> Any:
    from jessl.encoders import build_encoder

    return build_encoder(task.encoder, size=task.size)


def _sgd_loop(
    task: Task, turns: Turns, loader: Any, net: Any, head: Any, loss_of: Any, views_of: Any
) -> None:
    """A loop in plain torch, a forward pass for each view, SGD at .06."""
    import torch
    from torch import nn

    model = nn.Sequential(net, head).to(task.device)
    if task.optimizer == "adamw":
        optimizer: Any = torch.optim.AdamW(model.parameters(), **_ADAMW)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.06)
    while True:
        for batch in loader:
            first, second = (view.to(task.device) for view in views_of(batch))
            loss = loss_of(model(first), model(second))
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            turns.after_step()


def _torchvision(task: Task, turns: Turns) -> None:
    """No library but torchvision: what a tutorial writes."""
    import torch
    from torch import nn
    from torch.nn import functional as F
    from torchvision import transforms as T

    view = T.Compose(
        [
            T.RandomResizedCrop(task.size, scale=(0.08, 1.0)),
            T.RandomHorizontalFlip(),
            T.RandomApply([T.ColorJitter(**_JITTER)], p=0.8),
            T.RandomGrayscale(p=0.2),
            T.ToTensor(),
            T.Normalize(MEAN, STD),
        ]
    )

    def loss_of(first: Any, second: Any) -> Any:
        rows = F.normalize(torch.cat([first, second]), dim=1)
        logits = (rows @ rows.T / task.temperature).fill_diagonal_(-torch.inf)
        n = len(first)
        return F.cross_entropy(logits, torch.arange(2 * n, device=rows.device).roll(n))

    net = _network(task)
    turns.watch(net, MEAN, STD)
    head = nn.Sequential(
        nn.Linear(net.dim, task.hidden), nn.BatchNorm1d(task.hidden), nn.ReLU(),
        nn.Linear(task.hidden, task.out),
    )  # fmt: skip
    loader = _loader(task, _Pictures(task, lambda picture: (view(picture), view(picture))))
    _sgd_loop(task, turns, loader, net, head, loss_of, lambda batch: batch[0])


def _lightly(task: Task, turns: Turns) -> None:
    from lightly.data import LightlyDataset
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform

    views = SimCLRTransform(input_size=task.size, cj_strength=0.5, gaussian_blur=0.0)
    data = LightlyDataset.from_torch_dataset(_Pictures(task), transform=views)
    net = _network(task)
    turns.watch(net, MEAN, STD)
    head = SimCLRProjectionHead(net.dim, task.hidden, task.out)
    loss = NTXentLoss(temperature=task.temperature)
    _sgd_loop(task, turns, _loader(task, data), net, head, loss, lambda batch: batch[0])


def _lightning(task: Task, turns: Turns, lightning: Any, module: Any, loader: Any) -> None:
    class AfterStep(lightning.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, *_: Any) -> None:
            turns.after_step()

    trainer = lightning.Trainer(
        max_steps=task.steps, accelerator="cpu" if task.device == "cpu" else "gpu", devices=1,
        precision=32 if task.device == "cpu" else "16-mixed", callbacks=[AfterStep()],
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0, default_root_dir=task.folder,
    )  # fmt: skip
    trainer.fit(module, loader)


def _stable_pretraining(task: Task, turns: Turns) -> None:
    import lightning
    import stable_pretraining as spt
    from stable_pretraining import forward
    from stable_pretraining.data import dataset_stats, transforms
    from torch import nn

    stats = dataset_stats.CIFAR10
    views = [
        transforms.Compose(
            transforms.RGB(),
            transforms.RandomResizedCrop((task.size, task.size), scale=(0.08, 1.0)),
            transforms.RandomHorizontalFlip(p=0.5),
            transforms.ColorJitter(**_JITTER, p=0.8),
            transforms.RandomGrayscale(p=0.2),
            transforms.ToImage(**stats),
        )
        for _ in range(2)
    ]
    data = spt.data.FromTorchDataset(
        _Pictures(task), names=["image", "label"], transform=transforms.MultiViewTransform(views)
    )
    net = _network(task)
    turns.watch(net, stats["mean"], stats["std"])
    optim: dict[str, Any] = {"optimizer": {"type": "AdamW", **_ADAMW}}
    if task.optimizer == "own":
        optim = {
            "optimizer": {"type": "LARS", "lr": 5, "weight_decay": 1e-6},
            "scheduler": {"type": "LinearWarmupCosineAnnealing"},
            "interval": "epoch",
        }
    module = spt.Module(
        backbone=net,
        projector=nn.Sequential(
            nn.Linear(net.dim, task.hidden), nn.BatchNorm1d(task.hidden), nn.ReLU(inplace=True),
            nn.Linear(task.hidden, task.out),
        ),
        forward=forward.simclr,
        simclr_loss=spt.losses.NTXEntLoss(temperature=task.temperature),
        optim=optim,
    )  # fmt: skip
    _lightning(task, turns, lightning, module, _loader(task, data))


def _solo_learn(task: Task, turns: Turns) -> None:
    import pytorch_lightning
    from solo.methods import SimCLR
    from solo.utils.pretrain_dataloader import (
        dataset_with_index,
        prepare_n_crop_transform,
        prepare_transform,
    )
    from torch import nn

    view = prepare_transform("cifar10", **_JITTER, gaussian_prob=0.0, crop_size=task.size)
    views = prepare_n_crop_transform([view], num_crops_per_aug=[2])
    loader = _loader(task, dataset_with_index(_Pictures)(task, views))
    own = task.optimizer == "own"
    module = SimCLR(
        encoder="resnet18", backbone_args={"cifar": True, "zero_init_residual": False},
        num_classes=10, max_epochs=max(11, task.steps // len(loader)), batch_size=task.batch_size,
        optimizer="sgd" if own else "adamw", lars=own, lr=0.4 if own else _ADAMW["lr"],
        weight_decay=1e-5 if own else _ADAMW["weight_decay"], classifier_lr=0.1 if own else 1e-3,
        exclude_bias_n_norm=True, accumulate_grad_batches=1, eta_lars=0.02, grad_clip_lars=True,
        extra_optimizer_args={"momentum": 0.9} if own else {},
        scheduler="warmup_cosine" if own else "none", min_lr=0.0, warmup_start_lr=0.003,
        warmup_epochs=10, num_large_crops=2, num_small_crops=0, proj_hidden_dim=task.hidden,
        proj_output_dim=task.out, temperature=task.temperature,
    )  # fmt: skip
    # the same network for all, instead of the ResNet of its example
    net = _network(task)
    module.encoder, module.features_dim = net, net.dim
    module.classifier = nn.Linear(net.dim, 10)
    module.projector = nn.Sequential(
        nn.Linear(net.dim, task.hidden), nn.ReLU(), nn.Linear(task.hidden, task.out)
    )
    turns.watch(net, (0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261))
    _lightning(task, turns, pytorch_lightning, module, loader)


CONTENDERS = {
    "jessl": Contender(
        _jessl, None, False, "`jessl.pretrain` with its defaults, its tuning of speed included"
    ),
    "torchvision": Contender(
        _torchvision, None, True, "no library: PIL transforms, a plain torch loop, SGD"
    ),
    "lightly": Contender(_lightly, "lightly", True, "its example: plain torch loop, SGD"),
    "solo-learn": Contender(
        _solo_learn, "solo-learn", True,
        "Lightning, LARS; its step also trains a linear classifier; bicubic crops; head without "
        "batch norm",
    ),
    "stable-pretraining": Contender(
        _stable_pretraining, "stable-pretraining", True, "Lightning, LARS"
    ),
}  # fmt: skip
