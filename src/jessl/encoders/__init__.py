"""Backbones: any network to [batch, dim]."""

from jessl.encoders.build import build_encoder as build_encoder
from jessl.encoders.build import seeded as seeded
from jessl.encoders.encoder import Encoder as Encoder
from jessl.encoders.encoder import Preprocess as Preprocess
from jessl.encoders.foreign import checkpoint_file as checkpoint_file
from jessl.encoders.foreign import open_checkpoint as open_checkpoint
from jessl.encoders.reading import read_weights as read_weights
from jessl.encoders.weights import LoadReport as LoadReport
from jessl.encoders.weights import load_weights as load_weights

__all__ = [
    "Encoder",
    "LoadReport",
    "Preprocess",
    "build_encoder",
    "checkpoint_file",
    "load_weights",
    "open_checkpoint",
    "read_weights",
    "seeded",
]
