"""Machines without a network: one line, in seconds, with the remedy."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

import jessl
from jessl.core import hubs

UNKNOWN_HOST = "http://127.0.0.1:9"  # nobody listens there


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, UNKNOWN_HOST)
    monkeypatch.setenv("JESSL_DATA", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    hubs._answers.cache_clear()
    yield
    hubs._answers.cache_clear()


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("encoder", "remedies"),
    [
        ("timm:resnet18", ("--init FILE", "ckpt:FILE@timm:resnet18", "HF_HUB_OFFLINE=1")),
        ("torchvision:resnet18", ("ckpt:FILE@torchvision:resnet18", "TORCH_HOME")),
        ("hf:jessl/no-such-model", ("hf:FOLDER", "HF_HUB_CACHE", constants.HF_HUB_CACHE)),
    ],
)
def test_encoders_fail_in_seconds(encoder: str, remedies: tuple[str, ...]) -> None:
    if encoder.startswith("hf:"):
        pytest.importorskip("transformers")
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"could not be fetched|cannot be loaded") as failure:
        jessl.build_encoder(encoder, pretrained=True)
    assert time.monotonic() - began < 60  # the client's own retries took minutes
    assert all(remedy in str(failure.value) for remedy in remedies)
    assert "\n" not in str(failure.value)
    assert not constants.HF_HUB_OFFLINE  # as before


@pytest.mark.usefixtures("offline")
def test_data_sets_name_the_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"not in {tmp_path}.* copy it there from a machine with"):
        jessl.open_source("torchvision:CIFAR10")


def test_a_hub_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hubs, "_CONNECT_SECONDS", 0.2)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    hubs._answers.cache_clear()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert not hubs._answers(f"http://127.0.0.1:{silent.getsockname()[1]}")
    hubs._answers.cache_clear()


def test_stalled_downloads_end_and_the_setting_comes_back() -> None:
    before = socket.getdefaulttimeout()
    with hubs.no_stalled_downloads():
        assert socket.getdefaulttimeout() == (before or hubs._STALLED_SECONDS)
    assert socket.getdefaulttimeout() == before


def test_errors_of_the_network() -> None:
    refused = type("ProxyError", (Exception,), {"__module__": "httpx2"})
    assert hubs.is_network_error(refused())
    assert hubs.is_network_error(ConnectionRefusedError())
    assert not hubs.is_network_error(KeyError())
