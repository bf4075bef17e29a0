"""Tuning of speed: what counts, what is tried on which machine, and that the training stays."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
import torch
from torch import nn

from helpers.training_samples import trainer_of
from jessl.core import processor
from jessl.objectives import build_objective
from jessl.training.optimizers import build_optimizer
from jessl.training.step import Trainer
from jessl.training.tuning import candidates, search
from jessl.training.tuning.agreement import Sample, StepAgreement, compare
from jessl.training.tuning.candidates import SETTINGS, SearchSpace, search_space, thread_counts
from jessl.training.tuning.memory import fitting_micro_batch
from jessl.training.tuning.outcome import Attempt, Tuning
from jessl.training.tuning.search import Search
from jessl.training.tuning.speed import Speed, apply_speed
from jessl.training.tuning.trial import TimedBatch, Trial, interleave

CPU = torch.device("cpu")
FAST = Speed(precision="bfloat16", channels_last=True)


class _Net(nn.Module):
    """[n, 3, 6, 6] to [n, 8]."""

    def __init__(self) -> None:
        super().__init__()
        self.plane = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
        self.drop, self.row = nn.Dropout(0.1), nn.Linear(128, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.row(self.drop(self.plane(x).flatten(1)))


def _optimizer(modules: Any, fused: bool) -> torch.optim.Optimizer:
    return build_optimizer("adamw", modules, lr=0.01, weight_decay=0.01, fused=fused)


def _trainer(method: str = "byol") -> Trainer:
    torch.manual_seed(0)
    encoder, objective = _Net(), build_objective(method, 8)
    return trainer_of(encoder, objective, weight_decay=0.01)


def _batch(n: int = 12) -> TimedBatch:
    g = torch.Generator().manual_seed(1)
    return TimedBatch([torch.randn(n, 3, 6, 6, generator=g) for _ in range(2)], None)


def _tensors(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {
        f"{name}.{k}": v.clone()
        for name, module in trainer.modules().items()
        for k, v in module.state_dict().items()
    }


def _steps(trainer: Trainer, n: int = 3) -> dict[str, torch.Tensor]:
    trainer.set_training()
    torch.manual_seed(5)
    for _ in range(n):
        trainer.take_step(_batch().views)
    return _tensors(trainer)


def _same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def _search(trainer: Trainer, **changes: Any) -> Search:
    space = SearchSpace(plain=Speed(), open=frozenset({"precision", "channels_last"}))
    options: dict[str, Any] = {
        "trainer": trainer, "space": space, "batch": _batch(), "optimizer": _optimizer,
        "batches": None, "seconds": 1e9, "remaining_seconds": 1e9,
    }  # fmt: skip
    return Search(**(options | changes))


def _gains(monkeypatch: pytest.MonkeyPatch, gains: dict[str, float]) -> None:
    """Candidates are as many times faster than the best before them; no clock decides."""

    def gain(current: Trial, other: Trial, **_: Any) -> float:
        other.times.append(0.1)
        return gains[str(other.speed)]

    monkeypatch.setattr(search, "interleave", gain)


def test_gradients_agree_within_their_bound() -> None:
    g = torch.randn(1000, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(1000, generator=torch.Generator().manual_seed(1))
    plain = Sample(2.0, (g, None))

    def agreement(loss: float, *gradients: torch.Tensor | None) -> StepAgreement:
        return compare(plain, Sample(loss, gradients))

    assert agreement(2.0, g, None).holds(reduced=False)
    assert agreement(2.0, g + 1e-5 * noise, None).holds(reduced=False)
    assert not agreement(2.0, g + 1e-2 * noise, None).holds(reduced=False)
    assert agreement(2.0, g + 0.1 * noise, None).holds(reduced=True)
    assert not agreement(2.0, g + noise, None).holds(reduced=True)
    assert not agreement(2.0, 1.2 * g, None).holds(reduced=True)  # the right direction only
    assert not agreement(2.1, g, None).holds(reduced=True)
    assert not agreement(math.nan, g, None).holds(reduced=True)
    assert not agreement(2.0, g * math.nan, None).holds(reduced=True)
    assert not agreement(2.0, g, g).holds(reduced=True)  # one that should have no gradient
    zero = torch.zeros(3)
    assert compare(Sample(1.0, (zero,)), Sample(1.0, (zero,))).holds(reduced=False)
    assert not compare(Sample(1.0, (zero,)), Sample(1.0, (zero + 1,))).holds(reduced=True)


@pytest.mark.parametrize("speed", [Speed(), FAST, Speed(channels_last=True, fused_optimizer=True)])
def test_a_speed_is_applied_as_if_the_trainer_had_been_built_so(speed: Speed) -> None:
    later = _trainer()
    apply_speed(later, speed, _optimizer)
    built = _trainer()
    layout = torch.channels_last if speed.channels_last else torch.contiguous_format
    encoder = built.encoder.to(memory_format=layout)
    built = dataclasses.replace(
        built,
        encoder=encoder,
        optimizer=_optimizer([encoder, built.objective], speed.fused_optimizer),
        precision=torch.bfloat16 if speed.precision == "bfloat16" else None,
    )
    assert _same(_steps(later), _steps(built))


@pytest.mark.parametrize("method", ["byol", "moco", "swav"])
def test_the_search_takes_the_fastest_and_leaves_the_training_untouched(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gains = {"float32, channels-last": 1.0, "bfloat16": 1.2, "bfloat16, channels-last": 1.5}
    _gains(monkeypatch, gains)
    trainer, before = _trainer(method), _trainer(method)
    tuning = _search(trainer).run()
    assert tuning.speed == FAST
    assert tuning.gain == pytest.approx(1.8)
    assert [a.outcome for a in tuning.attempts] == ["not faster", "taken", "taken"]
    assert str(tuning).startswith("bfloat16, channels-last: ")
    assert str(tuning).endswith(" images/s, 1.8 times float32")
    assert trainer.features == {}
    assert _same(_tensors(trainer), _tensors(before))
    assert _same(_steps(trainer), _steps(before))


def test_ties_disagreement_and_failures_keep_the_plain_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ("float32, channels-last", "bfloat16", "bfloat16, channels-last")
    _gains(monkeypatch, dict.fromkeys(names, 1.04))
    tuning = _search(_trainer()).run()
    assert tuning.speed == Speed()
    assert "float32 is fastest here: " in str(tuning)
    assert "bfloat16 1.04 times" in str(tuning)
    _gains(monkeypatch, dict.fromkeys(names, 2.0))
    bad = StepAgreement(cosine=0.9, gradient_error=0.4, norm_error=0.0, loss_error=0.0)
    monkeypatch.setattr(search, "compare", lambda *_: bad)
    tuning = _search(_trainer()).run()
    assert tuning.speed == Speed()
    assert all(a.outcome.startswith("disagrees with the plain: ") for a in tuning.attempts)
    assert "cosine of the gradients 0.9000" in tuning.attempts[0].outcome

    def fails(*_: Any) -> StepAgreement:
        raise RuntimeError("no such kernel\nand more")

    monkeypatch.setattr(search, "compare", fails)
    tuning = _search(_trainer()).run()
    assert {a.outcome for a in tuning.attempts} == {"failed: no such kernel"}


def test_the_gain_of_an_update_is_that_in_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    _gains(monkeypatch, {"float32, fused optimizer": 1.2})
    monkeypatch.setattr(Search, "_update_is_slow", lambda _search: True)
    space = SearchSpace(plain=Speed(), open=frozenset({"fused_optimizer"}))
    assert _search(_trainer(), space=space).run().speed.fused_optimizer
    part = _search(_trainer(), space=space, share=0.125).run()
    assert part.speed == Speed()
    assert part.attempts[0].gain == pytest.approx(1 / (1 - 0.125 / 6))


def test_without_time_nothing_is_tried() -> None:
    tuning = _search(_trainer(), seconds=0.0).run()
    assert {a.outcome for a in tuning.attempts} == {"not tried: no time left"}


def test_compilation_is_tried_where_the_rest_of_the_run_repays_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch, "compile", lambda module: module)
    _gains(monkeypatch, {"float32, compiled": 1.2})
    space = SearchSpace(plain=Speed(), open=frozenset({"compile"}))
    expected: list[float] = []
    options = {"space": space, "on_compile": expected.append}
    assert _search(_trainer(), **options, remaining_seconds=1e6).run().speed.compile
    assert len(expected) == 1
    short = _search(_trainer(), **options, remaining_seconds=100.0).run()
    assert [a.outcome for a in short.attempts] == ["not tried: the run is too short"]
    assert len(expected) == 1


def test_threads_are_measured_together_with_the_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "usable_cores", lambda: 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda _n: None)
    space = SearchSpace(plain=Speed(), open=frozenset({"threads"}))
    drawn: list[int] = []

    def batches() -> Any:
        while True:
            drawn.append(1)
            yield _batch()

    tuning = _search(_trainer(), space=space, batches=batches).run()
    assert [a.settings for a in tuning.attempts] == ["float32, 1 thread"]
    assert len(drawn) == 13


def test_interleaved_steps_end_early_for_a_slow_trial() -> None:
    class _Clocked:
        def __init__(self, seconds: float) -> None:
            self.seconds, self.times = seconds, list[float]()

        def step(self) -> tuple[float, None]:
            return self.seconds, None

    a, b = _Clocked(1.0), _Clocked(2.0)
    assert interleave(a, b, most_rounds=9, until=math.inf) == 0.5  # type: ignore[arg-type]
    assert len(b.times) == 3
    a, b = _Clocked(1.0), _Clocked(0.5)
    assert interleave(a, b, most_rounds=9, until=math.inf) == 2.0  # type: ignore[arg-type]
    assert len(b.times) == 9


def _space(
    monkeypatch: pytest.MonkeyPatch, flags: set[str], compiler: str | None, cores: int
) -> Any:
    monkeypatch.setattr(processor, "cpu_flags", lambda: frozenset(flags))
    monkeypatch.setattr(processor, "cpp_compiler", lambda: compiler)
    monkeypatch.setattr(candidates, "usable_cores", lambda: cores)
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return search_space(Speed(), frozenset(SETTINGS), device=CPU, optimizer="adamw", world=1)


def test_what_a_machine_lacks_is_not_tried_and_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    full = _space(monkeypatch, {"avx2", "amx_bf16"}, "/usr/bin/g++", 4)
    assert full.open == set(SETTINGS) - {"micro_batch"}
    assert full.reasons == ()
    bare = _space(monkeypatch, {"avx2"}, None, 1)
    assert bare.open == {"channels_last", "fused_optimizer"}
    assert bare.reasons == (
        "this processor does not compute in bfloat16",
        "no C++ compiler for torch.compile",
        "one core",
    )
    summary = str(Tuning(speed=Speed(), plain=Speed(), images_per_second=1630.4, gain=1.0,
                         attempts=(Attempt("float32, channels-last", "not faster", gain=0.97),),
                         reasons=bare.reasons))  # fmt: skip
    assert summary == (
        "float32 is fastest here: 1,630 images/s (float32, channels-last 0.97 times); this "
        "processor does not compute in bfloat16; no C++ compiler for torch.compile; one core"
    )
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # the user's own number
    assert (
        "threads"
        not in search_space(
            Speed(), frozenset(SETTINGS), device=CPU, optimizer="lars", world=1
        ).open
    )


def test_bfloat16_is_read_from_the_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, computes in (("avx2 avx512f", False), ("avx512_bf16", True), ("amx_bf16", True)):
        monkeypatch.setattr(processor, "cpu_flags", lambda f=flags: frozenset(f.split()))
        assert processor.computes_bfloat16(CPU) is computes


def test_threads_to_try() -> None:
    assert thread_counts(64, 1) == [1]
    assert thread_counts(8, 8) == [7, 4]
    assert thread_counts(1, 1) == []


def test_a_batch_is_halved_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    take_step = Trainer.take_step

    def limited(self: Trainer, views: list[torch.Tensor], *more: Any) -> Any:
        if (self.micro_batch or len(views[0])) > limit:
            raise torch.OutOfMemoryError("out of memory")
        return take_step(self, views, *more)

    monkeypatch.setattr(Trainer, "take_step", limited)
    for limit, expected in ((12, None), (6, 6), (5, 3)):  # noqa: B007
        assert fitting_micro_batch(_trainer(), _batch(), _optimizer) == expected
    limit = 1
    with pytest.raises(ValueError, match="not even two images fit in the memory of the GPU"):
        fitting_micro_batch(_trainer(), _batch(), _optimizer)
