"""The metric of torchmetrics; it and the callbacks on two gloo processes, of which one is idle."""

from __future__ import annotations

import copy
import functools
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed, nn
from torch.utils.data import DataLoader, TensorDataset

import jessl
from helpers.groups import together
from jessl.integrations import Measure

D = 12
SHARES = {"unequal": 37, "one empty": 50}


def rows(n: int = 50, d: int = D) -> torch.Tensor:
    """Correlated rows with a mean, float32."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) / np.arange(1, d + 1) + 0.5
    return torch.from_numpy(z.astype(np.float32))


def svd_rankme(z: Any, center: bool = False) -> float:
    z = np.asarray(z, np.float64)
    s = np.linalg.svd(z - z.mean(0) if center else z, compute_uv=False)
    p = s / s.sum() + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


class TestMetric:
    @pytest.fixture
    def metric(self) -> Any:
        pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
        from jessl.integrations.torchmetrics import RankMe

        return RankMe

    @pytest.mark.parametrize("n", [1, 5, 12, 80])
    @pytest.mark.parametrize("center", [False, True])
    def test_equals_jessl_and_the_svd(self, metric: Any, n: int, center: bool) -> None:
        z = rows(n)
        one = metric(12, center=center)
        for part in z.split(7):
            one.update(part)
        one.update(z[:0])
        found = one.compute()
        assert found.dtype == torch.float64
        assert float(found) == pytest.approx(jessl.rankme(z, center=center), rel=1e-10)
        if n > 1 or not center:  # one centred row is all zeros: 0, where an SVD divides by 0
            assert float(found) == pytest.approx(svd_rankme(z, center), rel=3e-6)

    def test_eps_and_arrays(self, metric: Any) -> None:
        z = rows(60)
        one = metric(12, eps=0.0)
        one.update(z.numpy())
        assert float(one.compute()) == pytest.approx(jessl.rankme(z, eps=0.0), rel=1e-10)

    def test_forward_gives_the_batch_and_keeps_the_sum(self, metric: Any) -> None:
        z, one = rows(90), metric(12)
        for part in z.split(30):
            assert float(one(part)) == pytest.approx(svd_rankme(part), rel=3e-6)
        assert float(one.compute()) == pytest.approx(jessl.rankme(z), rel=1e-10)
        one.reset()
        one.update(z[:40])
        assert float(one.compute()) == pytest.approx(jessl.rankme(z[:40]), rel=1e-10)

    def test_pickled_cloned_and_saved(self, metric: Any) -> None:
        z, one = rows(70), metric(12)
        one.persistent(True)
        one.update(z[:30])
        loaded = metric(12)
        loaded.persistent(True)
        loaded.load_state_dict(one.state_dict())
        for copied in (pickle.loads(pickle.dumps(one)), one.clone(), loaded):
            copied.update(z[30:])
            assert float(copied.compute()) == pytest.approx(jessl.rankme(z), rel=1e-10)
        assert float(one.compute()) == pytest.approx(jessl.rankme(z[:30]), rel=1e-10)

    @pytest.mark.parametrize(
        "convert",
        [
            lambda m: m.half(),
            lambda m: m.float(),
            lambda m: m.to(torch.bfloat16),
            lambda m: m.to("cpu", torch.float16),
            lambda m: m.set_dtype(torch.float16),
            lambda m: nn.Sequential(m).to(torch.float16)[0],
        ],
    )
    def test_states_stay_float64(self, metric: Any, convert: Any) -> None:
        z, one = rows(70), metric(12)
        one.update(z[:30])
        one = convert(one)
        one.update(z[30:])
        assert one.gram.dtype == one.total.dtype == torch.float64
        assert float(one.compute()) == pytest.approx(jessl.rankme(z), rel=1e-10)
        one.reset()
        assert one.gram.dtype == torch.float64

    def test_devices(self, metric: Any) -> None:
        from jessl.integrations.torchmetrics import _refuse_mps

        assert metric(12).to("cpu").gram.device.type == "cpu"
        assert metric(12).to("meta").gram.device.type == "meta"
        with pytest.raises(ValueError, match="device: MPS has no float64"):
            _refuse_mps(torch.device("mps"))

    @pytest.mark.cuda
    @pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
    def test_on_a_gpu(self, metric: Any) -> None:
        z, one = rows(70), metric(12).to("cuda")
        one.update(z[:30].cuda())
        one.update(z[30:])
        assert one.compute().is_cuda
        assert float(one.cpu().compute()) == pytest.approx(jessl.rankme(z), rel=1e-10)

    def test_in_a_collection_states_are_shared(self, metric: Any) -> None:
        from torchmetrics import MetricCollection

        z = rows(70)
        both = MetricCollection({"raw": metric(12), "centred": metric(12, center=True)})
        for part in z.split(20):
            both.update(part)
        assert len(both.compute_groups) == 1
        found = both.compute()
        assert float(found["raw"]) == pytest.approx(jessl.rankme(z), rel=1e-10)
        assert float(found["centred"]) == pytest.approx(jessl.rankme(z, center=True), rel=1e-10)

    def test_in_and_out_of_inference_mode(self, metric: Any) -> None:
        z, one = rows(70).requires_grad_(), metric(12)
        with torch.inference_mode():
            one.reset()
            one.update(z[:30])
        one.update(z[30:])
        assert float(one.compute()) == pytest.approx(jessl.rankme(z), rel=1e-10)

    def test_half_precision_warns_once(self, metric: Any) -> None:
        z, one = rows(70).bfloat16(), metric(12)
        with pytest.warns(UserWarning, match="13 % wrong"):
            one.update(z)
        one.update(z)  # a second warning would be an error
        assert float(one.compute()) == pytest.approx(svd_rankme(torch.cat([z, z]).float()), 3e-6)

    def test_mistakes(self, metric: Any) -> None:
        with pytest.raises(ValueError, match="d: expected at least 1 feature, got 0"):
            metric(0)
        with pytest.raises(ValueError, match="eps: expected a number of at least 0"):
            metric(3, eps=-1.0)
        one = metric(12)
        with pytest.raises(ValueError, match="z: expected 12 features, got 5"):
            one.update(torch.zeros(4, 5))
        with pytest.raises(ValueError, match="2 of 4 rows hold NaN"):
            one.update(torch.tensor([0.0, torch.nan, 1.0, torch.inf]).repeat(12, 1).T)
        one.update(torch.zeros(0, 12))
        with pytest.raises(ValueError, match="no rows yet"):
            one.compute()


def metrics_of(rank: int) -> torch.Tensor:
    from jessl.integrations.torchmetrics import RankMe

    found = []
    for first in SHARES.values():
        one = RankMe(D)
        mine = rows()[:first] if rank == 0 else rows()[first:]
        for part in mine.split(8):
            one.update(part)
        both = one.compute()
        one.update(rows())  # after computing, the states are this process's own again
        found.append(torch.stack([both, one.count.double(), one.compute()]))
    return torch.stack(found)


def test_metric_of_two_processes(tmp_path: Path) -> None:
    pytest.importorskip("torchmetrics", reason="torchmetrics is not installed")
    z = rows()
    for rank, found in enumerate(together(metrics_of, tmp_path)):
        for first, (both, count, later) in zip(SHARES.values(), found.tolist(), strict=True):
            assert both == pytest.approx(jessl.rankme(z), rel=1e-10)
            assert count == (first, 50 - first)[rank] + 50
            assert later == pytest.approx(jessl.rankme(torch.cat([z, z, z])), rel=1e-10)


def model_of(rank: int) -> nn.Module:
    """The same weights everywhere, and running statistics that differ, as DDP leaves them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(D, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 5))
    model[1].running_mean += rank
    return model.train()


def of_model(model: nn.Module, x: torch.Tensor) -> float:
    """RankMe of model(x) in evaluation mode, by an SVD."""
    with torch.no_grad():
        return svd_rankme(copy.deepcopy(model).eval()(x))


def measured(first: int, bad: bool, rank: int) -> torch.Tensor:
    z = rows()
    if bad:
        z[0] = torch.nan
    model = model_of(rank)
    before = copy.deepcopy(model.state_dict())
    mine = z[:first] if rank == 0 else z[first:]
    # an empty share has no batch at all
    value = Measure("3", None)(model, mine.split(8) if len(mine) else ())
    kept = all(torch.equal(before[name], now) for name, now in model.state_dict().items())
    assert model[1].training
    assert kept
    distributed.barrier()
    return torch.tensor(value, dtype=torch.float64)


@pytest.mark.parametrize("share", SHARES)
def test_callbacks_measure_one_set_of_weights(share: str, tmp_path: Path) -> None:
    expected = of_model(model_of(0), rows())
    for found in together(functools.partial(measured, SHARES[share], False), tmp_path):
        assert float(found) == pytest.approx(expected, rel=3e-6)


def test_bad_rows_of_one_process_are_told_to_all(tmp_path: Path) -> None:
    found = together(functools.partial(measured, 37, True), tmp_path)
    assert all(torch.isnan(one) for one in found)


def trained(rank: int) -> torch.Tensor:
    """What a Lightning training under DDP logged, and the SVD's value on the first process."""
    os.environ.update(
        RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", LOCAL_WORLD_SIZE="2", GROUP_RANK="0",
        TORCHELASTIC_RUN_ID="test", MASTER_ADDR="127.0.0.1", MASTER_PORT="0",
    )  # fmt: skip
    import lightning.pytorch as pl

    from jessl.integrations.lightning import RankMeCallback

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.projector = model_of(0)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.projector(x)

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return self(batch[0]).square().mean()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.1)

    module = Module()
    trainer = pl.Trainer(
        accelerator="cpu", devices=2, strategy="ddp", max_epochs=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[RankMeCallback(rows()[:37], batch_size=8)],
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(rows()), batch_size=5))
    means = [torch.empty(8) for _ in range(2)]
    distributed.all_gather(means, module.projector[1].running_mean)
    assert not torch.equal(*means)  # or one set of weights would be no feat
    expected = torch.tensor([of_model(module.projector, rows()[:37])], dtype=torch.float64)
    distributed.broadcast(expected, 0)
    return torch.stack([trainer.callback_metrics["rankme/projector"].double(), expected[0]])


def test_lightning_with_ddp(tmp_path: Path) -> None:
    pytest.importorskip("lightning", reason="lightning is not installed")
    for found in together(trained, tmp_path):
        logged, expected = found.tolist()
        assert logged == pytest.approx(expected, rel=3e-6)
