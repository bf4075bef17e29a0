"""First convolutions for other numbers of channels than three."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from jessl.encoders import build_encoder, load_weights
from jessl.encoders.stem_channels import use_channels


def bands(count: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return (0.5,) * count, (0.25,) * count


@pytest.mark.parametrize("name", ["smallconv:2", "resnet_cifar:20", "airbench:2", "pixels"])
@pytest.mark.parametrize("channels", [1, 13])
def test_own_nets_take_any_number_of_channels(name: str, channels: int) -> None:
    encoder = build_encoder(name, size=16, normalisation=bands(channels))
    assert encoder.channels == channels
    assert encoder(torch.zeros(2, channels, 16, 16)).shape == (2, encoder.dim)


def test_weights_of_rgb_are_repeated_and_scaled(tmp_path: Path) -> None:
    """Four equal bands see what three equal ones saw, so features of grey images stay."""
    torch.manual_seed(0)
    rgb = build_encoder("smallconv:2", size=8).eval()
    file = tmp_path / "rgb.pt"
    torch.save(rgb.body.state_dict(), file)
    grey = torch.rand(3, 1, 8, 8)
    for channels, how in ((1, "summed"), (6, "repeated and scaled by 3/6")):
        encoder = build_encoder("smallconv:2", size=8, normalisation=bands(channels)).eval()
        report = load_weights(encoder, file)
        assert how in str(report)
        with torch.no_grad():
            features = encoder(grey.expand(-1, channels, -1, -1))
            torch.testing.assert_close(features, rgb(grey.expand(-1, 3, -1, -1)))


def test_a_body_without_a_convolution_of_rgb_is_named() -> None:
    with pytest.raises(ValueError, match="encoder x cannot take 5 channels"):
        use_channels("x", torch.nn.Sequential(torch.nn.Linear(3, 2)), 5, pretrained=False)
