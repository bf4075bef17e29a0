"""Backbones: any network to [batch, dim]."""

from jessl.encoders.build import build_encoder as build_encoder
from jessl.encoders.checkpoints.load_weights import load_weights as load_weights
from jessl.encoders.checkpoints.open_checkpoint import checkpoint_file as checkpoint_file
from jessl.encoders.checkpoints.open_checkpoint import open_checkpoint as open_checkpoint
from jessl.encoders.checkpoints.reading import read_weights as read_weights
from jessl.encoders.encoder import Encoder as Encoder
from jessl.encoders.encoder import Preprocess as Preprocess
from jessl.encoders.load_report import LoadReport as LoadReport

__all__ = [
    "Encoder",
    "LoadReport",
    "Preprocess",
    "build_encoder",
    "checkpoint_file",
    "load_weights",
    "open_checkpoint",
    "read_weights",
]
