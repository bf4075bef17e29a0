"""The engine: optimizers against known values, schedules, teacher, checkpoints."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from helpers.paths import TESTS
from helpers.training_samples import trainer_of
from jessl.objectives import build_objective
from jessl.training import checkpoint, ema
from jessl.training.loop import Diverged, train
from jessl.training.optimizers import LARS, build_optimizer
from jessl.training.schedules import momentum_to_one, warmup_cosine
from jessl.training.step import Trainer

GOLDEN = json.loads((TESTS / "golden" / "losses.json").read_text())["lars"]


@pytest.mark.parametrize(
    ("adapt", "weight_decay", "key"),
    [
        (True, 1e-4, "weight_decay 1e-4 (lightly, solo-learn and stable-pretraining agree)"),
        (
            False,
            0.0,
            "weight_decay 0, excluded from layer-wise scaling as the LARS recipe for biases and "
            "norms says (lightly)",
        ),
        (
            True,
            0.0,
            "weight_decay 0, solo-learn and stable-pretraining (scaled all the same)",
        ),
    ],
)
def test_lars_moves_as_published(adapt: bool, weight_decay: float, key: str) -> None:
    p = nn.Parameter(torch.tensor(np.random.RandomState(5).randn(4, 3)))
    before = p.detach().clone()
    group = {"params": [p], "adapt": adapt, "weight_decay": weight_decay}
    optimizer = LARS([group], lr=0.5, momentum=0.9)
    for _ in range(2):
        p.grad = torch.tensor(np.random.RandomState(6).randn(4, 3))
        optimizer.step()
    assert (p - before).norm().item() == pytest.approx(GOLDEN[key], rel=1e-5)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lars"])
def test_only_matrices_decay(name: str) -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
    optimizer = build_optimizer(name, [net], lr=0.1, weight_decay=0.3)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    for p in net.parameters():
        assert decay[id(p)] == (0.3 if p.ndim > 1 else 0.0)


def test_schedules_start_peak_and_end() -> None:
    rates = [warmup_cosine(k, total_steps=100, warmup_steps=10) for k in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert rates[-1] < 0.003
    assert warmup_cosine(0, total_steps=1, warmup_steps=0) == 1.0
    assert momentum_to_one(0, total_steps=10, start=0.9) == pytest.approx(0.9)
    assert momentum_to_one(10, total_steps=10, start=0.9) == 1.0


def test_teacher_follows_slowly() -> None:
    student = nn.Linear(3, 2)
    teacher = ema.teacher_of(student)
    with torch.no_grad():
        student.weight.add_(1.0)
    ema.ema_update(student, teacher, 0.75)
    torch.testing.assert_close(teacher.weight, student.weight - 0.75)
    assert not any(p.requires_grad for p in teacher.parameters())


def _trainer(method: str = "vicreg", *, lr: float = 1e-3, seed: int = 0) -> Trainer:
    torch.manual_seed(seed)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(48, 16))
    objective = build_objective(method, 16)
    return trainer_of(encoder, objective, lr=lr, total_steps=12, warmup_steps=2)


class _Batches:
    """Three random batches an epoch, the same for everyone."""

    def __init__(self, scale: float = 1.0) -> None:
        self.epoch = 0
        self.scale = scale

    def __len__(self) -> int:
        return 3

    def __iter__(self):  # type: ignore[no-untyped-def]
        for k in range(3):
            g = torch.Generator().manual_seed(10 * self.epoch + k)
            x = torch.randn(8, 3, 4, 4, generator=g) * self.scale
            yield type(
                "B",
                (),
                {
                    "views": [x, x + 0.1 * torch.randn(x.shape, generator=g)],
                    "labels": None,
                    "targets": None,
                },
            )
        self.epoch += 1

    def state_dict(self) -> dict[str, int]:
        return {"epoch": self.epoch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.epoch = state["epoch"]


def _train(trainer: Trainer, batches: _Batches, epochs: int, logged: list | None = None) -> bool:
    return train(
        trainer,
        batches,
        epochs=epochs,
        log_steps=2,
        on_log=(logged if logged is not None else []).append,
        on_epoch=lambda _: None,
        checkpoint_due=lambda: False,
        on_checkpoint=lambda: None,
        stop=lambda: False,
    )


@pytest.mark.parametrize("method", ["vicreg", "simclr", "barlow_twins", "byol"])
def test_training_lowers_the_loss(method: str) -> None:
    trainer, logged = _trainer(method, lr=3e-3), []
    trainer.total_steps = 60
    assert _train(trainer, _Batches(), 20, logged)
    assert trainer.step == 60
    assert logged[-1].loss < logged[0].loss
    assert [p.step for p in logged[:4]] == [2, 3, 4, 6]


def test_encoder_and_heads_of_the_teacher_both_follow() -> None:
    trainer = _trainer("byol")
    first = {k: v.clone() for k, v in trainer.objective.state_dict().items()}
    encoder = next(trainer.encoder.parameters()).detach().clone()
    _train(trainer, _Batches(), 1)
    assert trainer.teacher is not None
    moved = [
        (encoder, next(trainer.teacher.parameters()), next(trainer.encoder.parameters())),
        *(
            (first[f"teacher_projector.{k}"], slow, fast)
            for (k, slow), fast in zip(
                trainer.objective.teacher_projector.named_parameters(),
                trainer.objective.projector.parameters(),
                strict=True,
            )
        ),
    ]
    for start, slow, fast in moved:
        assert 0 < (slow - start).norm() < (fast - start).norm()


def test_byol_by_its_teacher_does_not_collapse() -> None:
    trainer = _trainer("byol", lr=3e-3)
    trainer.total_steps = 90
    _train(trainer, _Batches(), 30)
    x = torch.randn(64, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    h = trainer.encoder(x)
    assert h.std(dim=0).mean() > 0.1


def test_checkpoint_goes_round_and_training_goes_on_exactly(tmp_path: Path) -> None:
    whole, whole_log = _trainer("byol"), []
    _train(whole, _Batches(), 4, whole_log)

    first, batches, log = _trainer("byol"), _Batches(), []
    _train(first, batches, 2, log)
    state = {"trainer": first.state(), "loader": batches.state_dict()}
    path = checkpoint.save(tmp_path, first.step, first.modules(), state)

    second, rest = _trainer("byol", seed=9), _Batches()
    loaded = checkpoint.load(path)
    checkpoint.restore(second.modules(), loaded.tensors, path)
    second.load_state(loaded.step, loaded.state["trainer"])
    rest.load_state_dict(loaded.state["loader"])
    _train(second, rest, 4, log)
    assert [p.loss for p in log] == [p.loss for p in whole_log]
    for name, module in whole.modules().items():
        for key, value in module.state_dict().items():
            assert torch.equal(value, second.modules()[name].state_dict()[key]), (name, key)


def test_a_diverging_loss_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        Diverged,
        match=r"the loss is nan \(its parts .*variance.*\) at step 2: lower the learning rate",
    ):
        _train(_trainer(), _Batches(scale=float("inf")), 2)


@pytest.mark.parametrize("file", [checkpoint.MODEL, checkpoint.STATE])
@pytest.mark.parametrize("damage", ["truncated", "missing", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    tmp_path: Path, file: str, damage: str
) -> None:
    trainer = _trainer()
    for step in (3, 6):
        checkpoint.save(tmp_path, step, trainer.modules(), {"trainer": trainer.state()})
    broken = tmp_path / "step-000000006" / file
    if damage == "missing":
        broken.unlink()
    else:
        content = broken.read_bytes()
        broken.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"")
    found, notes = checkpoint.load_latest(tmp_path)
    assert found is not None
    assert found.step == 3
    assert len(notes) == 1
    assert str(broken) in notes[0]
    assert "\n" not in notes[0]


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    trainer = _trainer()
    path = checkpoint.save(tmp_path, 1, trainer.modules(), {"trainer": trainer.state()})
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):  # type: ignore[no-untyped-def]
            return (Path.touch, (marker,))

    torch.save({"step": 1, "x": Evil()}, path / checkpoint.STATE)
    with pytest.raises(ValueError, match=r"cannot read checkpoint .*state\.pt"):
        checkpoint.load(path)
    assert not marker.exists()


def test_nonsense_is_not_saved_over_good_checkpoints(tmp_path: Path) -> None:
    trainer, saved = _trainer(), []
    with pytest.raises(Diverged):
        train(
            trainer,
            _Batches(scale=float("inf")),
            epochs=2,
            log_steps=100,
            on_log=lambda _: None,
            on_epoch=lambda _: None,
            checkpoint_due=lambda: True,
            on_checkpoint=lambda: saved.append(trainer.step),
            stop=lambda: False,
        )
    assert saved == []


def test_stops_between_epochs_of_a_single_step() -> None:
    class One(_Batches):
        def __len__(self) -> int:
            return 1

        def __iter__(self):  # type: ignore[no-untyped-def]
            for batch in super().__iter__():
                self.epoch += 1
                yield batch
                return

    trainer, saved = _trainer(), []
    calls = iter([False, False, True])
    done = train(
        trainer,
        One(),
        epochs=9,
        log_steps=1,
        on_log=lambda _: None,
        on_epoch=lambda _: None,
        checkpoint_due=lambda: False,
        on_checkpoint=lambda: saved.append(trainer.step),
        stop=lambda: next(calls),
    )
    assert not done
    assert saved == [3]


def test_half_written_checkpoints_do_not_count(tmp_path: Path) -> None:
    trainer = _trainer()
    checkpoint.save(tmp_path, 3, trainer.modules(), {"trainer": trainer.state()})
    (tmp_path / ".jessl-1-0123456789abcdef.part").mkdir()
    assert [s for s, _ in checkpoint.steps(tmp_path)] == [3]


def test_pruning_keeps_the_newest(tmp_path: Path) -> None:
    trainer = _trainer()
    for step in (1, 2, 3):
        checkpoint.save(tmp_path, step, trainer.modules(), {})
    checkpoint.prune(tmp_path, 0)
    assert len(checkpoint.steps(tmp_path)) == 3
    checkpoint.prune(tmp_path, 2)
    assert [s for s, _ in checkpoint.steps(tmp_path)] == [2, 3]
