"""RankMe as a callback of Lightning, on images that stay the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DistributedSampler

from jessl.core import collectives
from jessl.integrations.layer_rankme import Features, Measure

if TYPE_CHECKING:
    from lightning.pytorch import LightningModule, Trainer


try:
    from lightning.pytorch.callbacks import Callback
except ModuleNotFoundError:
    try:
        from pytorch_lightning.callbacks import Callback
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "jessl.integrations.lightning needs lightning: pip install 'jessl[integrations]'"
        ) from error


class RankMeCallback(Callback):
    """Logs rankme/<layer>, as published, at the end of every so many training epochs.

    All features come from one set of weights, in evaluation mode, float32 without autocast or
    TF32. The training is unaffected: its loader, random numbers and modules' modes are left as
    they were. Under DDP each process takes its share of the images and their sums are added; it
    works for one device and DDP, and refuses sharded parameters. Goes into the list of callbacks
    of a Trainer of `lightning` or of `pytorch_lightning`.

    Args:
        images: the fixed sample: a tensor [n, ...], or a loader, anything that gives the same
            batches each time it is iterated. As published: 25,600 training images, without
            augmentations, one view. Of a loader each process reads all and keeps every world-th
            batch: the loader must not be distributed itself.
        layer: dotted name of a submodule of the LightningModule: its output [batch, d] while
            `forward` runs on the images (the first entry of a batch that is a tuple or list). As
            published: "projector".
        features: (module, batch) -> [batch, d] instead, for modules whose forward does not reach
            the layer; `layer` then only names the value.
        every_n_epochs: at least 1.
        batch_size: images at a time, where `images` is a tensor.

    Raises:
        ValueError: for arguments out of range, an iterator, or a loader with a
            DistributedSampler; when the training starts, for an unknown layer; when it measures,
            for features that are not [batch, d] or are of half precision.
    """

    def __init__(
        self,
        images: torch.Tensor | Iterable[object],
        layer: str = "projector",
        *,
        features: Features | None = None,
        every_n_epochs: int = 1,
        batch_size: int = 256,
    ) -> None:
        for name, number in (("every_n_epochs", every_n_epochs), ("batch_size", batch_size)):
            if number < 1:
                raise ValueError(f"{name}: expected at least 1, got {number}")
        if isinstance(images, Iterator):
            raise ValueError("images: an iterator can be read once only; give a tensor or a loader")
        if isinstance(getattr(images, "sampler", None), DistributedSampler):
            raise ValueError(
                "images: the callback deals the batches to the processes itself, and a "
                "DistributedSampler repeats images; give a loader without it"
            )
        self.images, self.every_n_epochs, self.batch_size = images, every_n_epochs, batch_size
        self._measure = Measure(layer, features)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._measure.check(pl_module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if (trainer.current_epoch + 1) % self.every_n_epochs:
            return
        value = self._measure(pl_module, self._share(pl_module))
        # the value is the same everywhere; sync_dist keeps Lightning from asking for it
        pl_module.log(self._measure.name, value, sync_dist=trainer.world_size > 1)

    def _share(self, pl_module: LightningModule) -> Iterator[object]:
        """The batches of this process, on its device."""
        rank, world = collectives.rank(), collectives.world()
        if isinstance(self.images, torch.Tensor):
            mine = self.images[rank::world]
            batches: Iterable[object] = mine.split(self.batch_size) if len(mine) else ()
        else:
            batches = islice(self.images, rank, None, world)
        for batch in batches:
            yield pl_module.transfer_batch_to_device(batch, pl_module.device, 0)
