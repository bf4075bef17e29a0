"""Encoders of bands in the formats that hold them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import jessl
from jessl.encoders import build_encoder

MEAN, STD = (0.1, 0.2, 0.3, 0.4, 0.5), (0.2, 0.2, 0.3, 0.3, 0.3)


def test_timm_takes_five_bands_and_gives_them_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    encoder = build_encoder("timm:test_resnet", size=32, stem="standard", normalisation=(MEAN, STD))
    result = jessl.export(encoder, tmp_path / "five", format="timm")
    assert "5 channels" not in " ".join(result.code)
    assert "float32 [batch, 5, 32, 32]" in (tmp_path / "five" / "README.md").read_text()
    images = np.random.default_rng(0).integers(0, 65536, (3, 40, 40, 5)).astype(np.uint16)
    z, again = (jessl.embed(e, images) for e in (encoder, str(tmp_path / "five")))
    np.testing.assert_allclose(z.features, again.features, atol=1e-5)
    with pytest.raises(ValueError, match="takes 5 channels"):
        jessl.embed(str(tmp_path / "five"), images[..., :3])


def test_a_program_takes_the_bands_of_a_net_of_jessl(tmp_path: Path) -> None:
    encoder = build_encoder("smallconv:2", size=8, normalisation=(MEAN[:2], STD[:2]))
    jessl.export(encoder, tmp_path / "two", format="torch")
    program = torch.export.load(tmp_path / "two" / "model.pt2").module()
    images = torch.randn(3, 2, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(program(images), encoder.eval()(images))


def test_formats_of_three_channels_say_so(tmp_path: Path) -> None:
    encoder = build_encoder("torchvision:resnet18", size=32, normalisation=(MEAN, STD))
    with pytest.raises(ValueError, match="its architectures take 3 channels, not 5"):
        jessl.export(encoder, tmp_path / "no", format="torchvision")
