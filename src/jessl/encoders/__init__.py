"""Encoders: any network as a module from images to [batch, dim].

Built by name (`build`), or opened from the checkpoint of another library (`checkpoints/`). May
import core and config; no other package of models, data or scores.
"""

from jessl.encoders.build import build_encoder as build_encoder
from jessl.encoders.checkpoints.load_weights import load_weights as load_weights
from jessl.encoders.checkpoints.open_checkpoint import open_checkpoint as open_checkpoint
from jessl.encoders.checkpoints.open_checkpoint import parse_checkpoint as parse_checkpoint
from jessl.encoders.checkpoints.reading import read_weights as read_weights
from jessl.encoders.encoder import Encoder as Encoder
from jessl.encoders.encoder import Preprocess as Preprocess
from jessl.encoders.load_report import LoadReport as LoadReport
from jessl.encoders.outside import register_encoder as register_encoder

__all__ = [
    "Encoder",
    "LoadReport",
    "Preprocess",
    "build_encoder",
    "load_weights",
    "open_checkpoint",
    "parse_checkpoint",
    "read_weights",
    "register_encoder",
]
