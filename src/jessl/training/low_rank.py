"""Low-rank updates of an encoder whose own weights stay: LoRA, through the library peft."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import nn

from jessl.core.random import seeded
from jessl.encoders.encoder import Encoder


class LowRankUpdates:
    """Adds rank-limited updates to the linear layers of an encoder, and trains them alone.

    A layer computes (W + B A) x with W [out, in] as it was, A [rank, in] by Kaiming's uniform
    initialisation and B [out, rank] 0 at the start (Hu et al., ICLR 2022, arXiv 2106.09685, with
    the scale 1). `plain` is the encoder with the sums W + B A as its weights: it has the names
    and shapes of the encoder without updates, and is what is evaluated, kept and exported.

    Example:
        updates = LowRankUpdates(encoder, rank=8, seed=0)  # encoder is changed in place
        updates.plain()(images)

    Args:
        encoder: in place; its linear layers become layers of peft.
        rank: of each update, at least 1.
        seed: of A.

    Raises:
        ValueError: without peft, and for an encoder without linear layers.
    """

    def __init__(self, encoder: Encoder, rank: int, seed: int) -> None:
        try:
            from peft import LoraConfig, inject_adapter_in_model
        except ImportError:
            raise ValueError("lora needs peft: pip install 'jessl[lora]'") from None
        # layers of a class of their own, such as those of nn.MultiheadAttention, are read past
        # their forward pass
        targets = [name for name, m in encoder.body.named_modules() if type(m) is nn.Linear]
        if not targets:
            raise ValueError(
                f"lora: expected an encoder with linear layers, such as a vision transformer; "
                f"{encoder.name} has none"
            )
        self.trained = encoder
        self._plain = copy.deepcopy(encoder).eval().requires_grad_(False)
        encoder.requires_grad_(False)
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=targets, lora_dropout=0.0)
        with seeded(seed):
            inject_adapter_in_model(config, encoder.body)
        self._tensors = self._plain.state_dict()
        self._layers = {name: encoder.body.get_submodule(name) for name in targets}

    @torch.no_grad()
    def plain(self) -> Encoder:
        """The encoder with the updates added to its weights; one object, brought up to date."""
        for name, value in self.trained.state_dict().items():
            if ".lora_" not in name:
                self._tensors[name.replace(".base_layer.", ".")].copy_(value)
        for name, layer in self._layers.items():
            self._tensors[f"body.{name}.weight"].add_(cast(Any, layer).get_delta_weight("default"))
        return self._plain

    def trained_weights(self) -> dict[str, torch.Tensor]:
        """The tensors of the encoder that is trained: its own weights, and the updates."""
        return {k: v.detach().cpu() for k, v in self.trained.state_dict().items()}

    def load_trained_weights(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Load what `trained_weights` returned."""
        self.trained.load_state_dict(dict(tensors))
