"""The encoder and the classifier of a run that was trained with labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from jessl.core.devices import pick_device
from jessl.data import Source
from jessl.embeddings import Embeddings
from jessl.encoders import Encoder
from jessl.extraction.extract import extract
from jessl.extraction.open_encoder import open_encoder
from jessl.extraction.opened_encoder import OpenedEncoder, weights_sha256
from jessl.runs import Run


@dataclass(frozen=True, eq=False)
class FinetunedNetwork:
    """Encoder on its device, and the objective with its linear classifier on the CPU.

    Attributes:
        run: that trained it.
        encoder: in evaluation mode.
        objective: `Supervised` with the identity as its projector.
    """

    run: Run
    encoder: Encoder
    objective: Any

    @classmethod
    def open(cls, run: Run, device: str) -> FinetunedNetwork:
        """The network of the last checkpoint of a run."""
        encoder, objective, _ = open_encoder(run)
        assert objective is not None
        return cls(run, encoder.to(pick_device(device)).eval(), objective.eval())

    def features(self, images: Source, workers: int | None) -> Embeddings:
        """Of all readable images."""
        return extract(self.encoder, None, images, layers=("backbone",), workers=workers)[
            "backbone"
        ]

    @torch.inference_mode()
    def logits(self, z: Embeddings) -> NDArray[np.float64]:
        """[n, classes] of features [n, dim]."""
        logits: NDArray[np.float64] = (
            self.objective.classify(torch.tensor(np.asarray(z.features))).double().numpy()
        )
        return logits

    def head(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights [classes, dim] and bias [classes]."""
        layer = self.objective.classifier
        return layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()

    def opened(self) -> OpenedEncoder:
        """The encoder with what identifies it."""
        net = self.encoder
        return OpenedEncoder(
            spec=str(self.run.path.resolve()),
            encoder=net,
            provenance={},
            sha256=weights_sha256(net),
            parameters=sum(p.numel() for p in net.parameters()),
            weights_mb=sum(t.numel() * t.element_size() for t in net.state_dict().values()) / 1e6,
        )
