"""Backbones: any network to [batch, dim]."""

from jessl.encoders.build import build_encoder as build_encoder
from jessl.encoders.build import seeded as seeded
from jessl.encoders.encoder import Encoder as Encoder
from jessl.encoders.encoder import Preprocess as Preprocess
from jessl.encoders.weights import load_weights as load_weights
from jessl.encoders.weights import read_weights as read_weights

__all__ = ["Encoder", "Preprocess", "build_encoder", "load_weights", "read_weights", "seeded"]
