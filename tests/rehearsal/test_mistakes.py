"""Deliberate device mistakes, each in another place of the package: the rehearsal finds them."""

from __future__ import annotations

import ast
from contextlib import nullcontext
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.rehearsed_cuda import SRC, DeviceMistake, rehearsal
from helpers.rehearsed_transfers import MEANT
from jessl import Loader
from jessl.data.loading.buffer_pool import BufferPool
from jessl.objectives import TrainingPosition, _contrastive, build_objective
from jessl.training import ema, gradient_cache
from jessl.training.forward import Forward
from jessl.views import presets
from jessl.views.gpu import geometry
from jessl.views.params import COLUMN

_directions, swav, vicreg = (
    # the package's attributes of these names are the functions
    import_module(f"jessl.objectives.{name}")
    for name in ("_directions", "swav", "vicreg")
)


def in_package(function, file: str):
    """The function as if it stood in a file of the package, where waiting is refused."""
    function.__code__ = function.__code__.replace(co_filename=SRC + file)
    return function


def loss_of(name: str, *, precision: torch.dtype | None = None, **options) -> None:
    torch.manual_seed(0)
    objective = build_objective(name, 8, {"projector": "8", **options}).to("cuda")
    z = torch.randn(2, 6, 8).to("cuda").requires_grad_()
    with torch.autocast("cuda", dtype=precision, enabled=precision is not None):
        # as an encoder's output under autocast
        objective.loss(z.to(precision or torch.float32))


def positives_on_the_host(monkeypatch):
    wrong = in_package(lambda rows, device: torch.arange(rows).roll(rows // 2), "objectives/x.py")
    monkeypatch.setattr(_contrastive, "positive_rows", wrong)
    loss_of("simclr", negatives=2)


def loss_in_half_precision(monkeypatch):
    monkeypatch.setattr(vicreg, "_terms", vicreg._terms.__wrapped__)
    monkeypatch.setattr(vicreg, "gather_batch", lambda z: z)
    loss_of("vicreg", precision=torch.bfloat16)


def a_hidden_item(monkeypatch):
    def wrong(self, z):
        scale = 1.0 if float(z.norm()) else 0.0
        return self._right(z) * scale

    monkeypatch.setattr(swav.Prototypes, "_right", swav.Prototypes.forward, raising=False)
    monkeypatch.setattr(swav.Prototypes, "forward", in_package(wrong, "objectives/x.py"))
    loss_of("swav")


def directions_copied_and_waited_for(monkeypatch):
    wrong = in_package(lambda x, device: x.to(device), "core/devices.py")
    monkeypatch.setattr(_directions, "to_device", wrong)
    objective = build_objective("lejepa", 8).to("cuda")
    objective.begin_step(TrainingPosition(0, 1, 1))


def a_branch_on_values_in_a_view(monkeypatch):
    right = geometry.blur

    def wrong(x, sigma_px, kernel_px):
        return right(x, sigma_px, kernel_px) if (sigma_px > 0).all() else x

    monkeypatch.setattr(geometry, "blur", in_package(wrong, "views/gpu/x.py"))
    views = presets.byol(16)
    table = views.neutral_table(4)
    table[..., COLUMN["blur_sigma_px"]] = 1.0
    views.finish([torch.zeros(4, 3, 16, 16, dtype=torch.uint8).to("cuda")] * 2, table)


def a_buffer_lent_before_its_copy_ended(monkeypatch, tmp_path):
    """The loader forgets the event: the pool's memory is overwritten while it is being copied."""
    right = BufferPool.lend
    kept = {}

    def wrong(self):
        # the same memory again and again, as if it had come back at once
        if id(self) not in kept:
            kept[id(self)] = right(self)
        return kept[id(self)]

    monkeypatch.setattr(BufferPool, "lend", wrong)
    monkeypatch.setattr("jessl.data.loading.loader._RESIDENT_SHARE", 0.0)
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.integers(0, 256, (24, 20, 20, 3), dtype=np.uint8))
    list(Loader(str(tmp_path / "x.npz"), presets.simclr(16), 4, device="cuda", workers=1))


def a_teacher_left_on_the_host(monkeypatch):
    student = torch.nn.Linear(3, 3).to("cuda")
    ema.ema_update(student, torch.nn.Linear(3, 3), 0.9)


MISTAKES = {
    positives_on_the_host: "indexing by numbers of the host|two devices",
    loss_in_half_precision: "in half precision at objectives/vicreg",
    a_hidden_item: "_local_scalar_dense, at objectives",
    directions_copied_and_waited_for: "not page-locked, at core/devices",
    a_branch_on_values_in_a_view: "_local_scalar_dense, at views/gpu",
    a_buffer_lent_before_its_copy_ended: "page-locked memory was written",
    a_teacher_left_on_the_host: "two devices",
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.__name__)
def test_a_mistake_is_found(mistake, monkeypatch, tmp_path):
    more = (tmp_path,) if mistake is a_buffer_lent_before_its_copy_ended else ()
    with pytest.raises(DeviceMistake, match=MISTAKES[mistake]), rehearsal():
        mistake(monkeypatch, *more)


def test_dropout_that_is_not_replayed_is_found(monkeypatch):
    """Without the device's generator the two passes of a micro-batch draw differently."""
    monkeypatch.setattr(gradient_cache, "_set_random_state", lambda device, state: None)
    with rehearsal():
        net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 8), torch.nn.Dropout())
        drawn = []
        net[-1].register_forward_hook(lambda _m, _i, out: drawn.append(out == 0))
        forward = Forward(net.to("cuda"), None, build_objective("vicreg", 8, {"projector": "8"}))
        forward.to("cuda")
        gradient_cache.accumulate_gradients(
            forward, [torch.ones(4, 3, 2, 2).to("cuda")] * 2, None, None, micro_batch=2,
            precision=nullcontext, backward=lambda t: t.backward(),
        )  # fmt: skip
        half = len(drawn) // 2
        first, second = torch.stack(drawn[:half]).cpu(), torch.stack(drawn[half:]).cpu()
        assert not torch.equal(first, second)


def test_places_that_may_wait_exist():
    """A place that was renamed away would forgive nothing, and hide that nobody looks there."""
    for place in MEANT:
        file, name = place.split(":")
        tree = ast.parse(Path(SRC + file).read_text())
        functions = {
            f.name for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.ClassDef))
        }
        parts = [p for p in name.split(".") if not p.startswith("<")]
        assert set(parts) <= functions, place
