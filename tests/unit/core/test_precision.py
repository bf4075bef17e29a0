"""The guard against reduced float32: full precision inside, the caller's settings outside."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from jessl.core.precision import full_float32, pick_precision

NEW_INTERFACE = hasattr(torch.backends.cudnn, "conv")


def _read(getter: Callable[[], object]) -> object:
    try:
        return getter()
    except RuntimeError:  # torch refuses to read settings that contradict each other
        return "contradiction"


def _settings() -> dict[str, object]:
    b = torch.backends
    settings = {
        "matmul": _read(torch.get_float32_matmul_precision),
        "cuda.matmul.allow_tf32": _read(lambda: b.cuda.matmul.allow_tf32),
        "cudnn.allow_tf32": _read(lambda: b.cudnn.allow_tf32),
    }
    if NEW_INTERFACE:
        settings |= {
            "all": b.fp32_precision,
            "cuda.matmul": b.cuda.matmul.fp32_precision,
            "cudnn": b.cudnn.fp32_precision,
            "cudnn.conv": b.cudnn.conv.fp32_precision,
            "cudnn.rnn": b.cudnn.rnn.fp32_precision,
            "mkldnn.matmul": b.mkldnn.matmul.fp32_precision,
            "mkldnn.conv": b.mkldnn.conv.fp32_precision,
        }
    return settings


def _assert_full() -> None:
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    if NEW_INTERFACE:
        reduced = {k: v for k, v in _settings().items() if v in ("tf32", "bf16")}
        assert not reduced.keys() - {"all", "cudnn"}  # overridden operator by operator


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    before = _settings()
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    if NEW_INTERFACE:
        torch.backends.fp32_precision = torch.backends.cudnn.fp32_precision = "none"
        for operator in (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul):
            operator.fp32_precision = "none"
        torch.backends.mkldnn.conv.fp32_precision = "none"
        torch.backends.cudnn.conv.fp32_precision = "tf32"
        torch.backends.cudnn.rnn.fp32_precision = "tf32"
    assert _settings() == before


def _nothing() -> None:
    pass


def _old_flags() -> None:
    torch.backends.cuda.matmul.allow_tf32 = True
    torch.backends.cudnn.allow_tf32 = False


def _everywhere() -> None:
    torch.backends.fp32_precision = "tf32"


def _one_operator() -> None:
    torch.backends.cuda.matmul.fp32_precision = "tf32"


def _one_convolution() -> None:
    torch.backends.cudnn.conv.fp32_precision = "ieee"


def _mixed() -> None:
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.fp32_precision = "ieee"
    torch.backends.cudnn.conv.fp32_precision = "none"
    torch.backends.cuda.matmul.fp32_precision = "ieee"


NEW = (_everywhere, _one_operator, _one_convolution, _mixed) if NEW_INTERFACE else ()


@pytest.mark.parametrize(
    "choose",
    [
        _nothing,
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: torch.set_float32_matmul_precision("medium"),
        _old_flags,
        *NEW,
    ],
)
def test_full_inside_and_restored_outside(choose: Callable[[], None]) -> None:
    choose()
    before = _settings()
    with full_float32():
        _assert_full()
        with full_float32():
            _assert_full()
        _assert_full()
    assert _settings() == before
    with pytest.raises(KeyError), full_float32():
        raise KeyError
    assert _settings() == before


@pytest.mark.skipif(not NEW_INTERFACE, reason="settings by operator exist since torch 2.9")
def test_an_inherited_setting_stays_inherited() -> None:
    torch.backends.fp32_precision = "tf32"
    with full_float32():
        pass
    torch.backends.fp32_precision = "ieee"
    assert torch.backends.cuda.matmul.fp32_precision == "ieee"


def test_the_dtype_of_autocast() -> None:
    cpu = torch.device("cpu")
    assert pick_precision("auto", cpu) is None
    assert pick_precision("float32", cpu) is None
    assert pick_precision("bfloat16", cpu) is torch.bfloat16
    assert pick_precision("float16", torch.device("cuda")) is torch.float16
    with pytest.raises(ValueError, match="precision: expected float32 or bfloat16 on the CPU"):
        pick_precision("float16", cpu)
