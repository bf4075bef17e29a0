"""RankMe inside other people's trainers: real trainings, every value against a float64 SVD."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from helpers.paths import ROOT

# each says what was done to it, not what could be wrong with this room
NARROW = [
    "ignore:Found 1 module.s. in eval mode at the start of training",
    "ignore:The '.*_dataloader' does not have many workers:UserWarning",
    "ignore:`isinstance\\(treespec, LeafSpec\\)` is deprecated",
]
pytestmark = [pytest.mark.filterwarnings(one) for one in NARROW]


def svd_rankme(z: Any) -> float:
    s = np.linalg.svd(np.asarray(z, np.float64), compute_uv=False)
    p = s / s.sum() + 1e-7
    return float(np.exp(-(p * np.log(p)).sum()))


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(seed))


def test_the_room_imports_none_of_the_libraries() -> None:
    code = (
        "import sys, jessl, jessl.integrations; jessl.rankme; print([m for m in "
        "('torchmetrics', 'lightning', 'pytorch_lightning', 'transformers') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("file", "package"),
    [("torchmetrics", "torchmetrics"), ("lightning", "lightning"), ("huggingface", "transformers")],
)
def test_a_missing_library_is_named(file: str, package: str) -> None:
    code = (
        "import sys\n"
        f"for one in ('{package}', 'pytorch_lightning'): sys.modules[one] = None\n"
        f"import jessl.integrations.{file}"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = told.stderr.strip().splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: jessl.integrations." + file)
    assert last.endswith("pip install 'jessl[integrations]'")


def test_the_pages_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here and not in test_docs.py (hence its fences are `py`): it needs the filters above."""
    for package in ("torchmetrics", "lightning", "transformers", "accelerate"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    page = (ROOT / "docs" / "integrations.md").read_text("utf-8")
    blocks = re.findall(r"^```py\n(.*?)^```", page, flags=re.M | re.S)
    assert len(blocks) == 3
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "integrations.md", "exec"), names)


def net() -> nn.ModuleDict:
    torch.manual_seed(5)
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2)
    )
    return nn.ModuleDict({"backbone": backbone, "projector": nn.Linear(8 * 16, 6)})


def reference(model: nn.Module, x: torch.Tensor) -> float:
    """RankMe of the projector by an SVD, of a copy of the model in evaluation mode."""
    copied = copy.deepcopy(model).eval()
    with torch.no_grad():
        return svd_rankme(copied.projector(copied.backbone(x)))


def lightning_parts(package: str) -> tuple[Any, Any, Any]:
    """(the package, a module of it, a callback that notes the SVD's value)."""
    pl = pytest.importorskip(package, reason=f"{package} is not installed")

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            parts = net()
            self.backbone, self.projector = parts["backbone"], parts["projector"]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.projector(self.backbone(x))

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            (x,) = batch
            return (self(x) - self(x + 0.1 * torch.randn_like(x))).square().mean() - self(x).std()

        def configure_optimizers(self) -> Any:
            return torch.optim.SGD(self.parameters(), lr=0.05)

    class Note(pl.Callback):
        def __init__(self, x: torch.Tensor) -> None:
            self.x, self.svd = x, []

        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            self.svd.append(reference(pl_module, self.x))

    return pl, Module, Note


def fit(pl: Any, module: Any, callbacks: list[Any], **options: Any) -> Any:
    torch.manual_seed(1)
    options = {"max_epochs": 2, "enable_checkpointing": False, **options}
    trainer = pl.Trainer(
        accelerator="cpu", devices=1, logger=False, enable_progress_bar=False,
        enable_model_summary=False, callbacks=callbacks, **options,
    )  # fmt: skip
    trainer.fit(module, DataLoader(TensorDataset(images(32)), batch_size=8, shuffle=True))
    return trainer


class TestLightning:
    @pytest.mark.parametrize("package", ["lightning.pytorch", "pytorch_lightning"])
    @pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
    def test_logs_the_svds_value_each_epoch(self, package: str, precision: str) -> None:
        pl, module, note = lightning_parts(package)
        from jessl.integrations.lightning import RankMeCallback

        x, found = images(60, seed=9), []

        class Read(pl.Callback):
            def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
                found.append(float(trainer.callback_metrics["rankme/projector"]))

        noted, ours = note(x), RankMeCallback(x, batch_size=13)
        fit(pl, module(), [noted, ours, Read()], precision=precision)
        assert len(found) == 2
        np.testing.assert_allclose(found, noted.svd, rtol=3e-6)
        assert found[0] != found[1]

    def test_the_training_does_not_notice(self) -> None:
        pl, module, _ = lightning_parts("lightning.pytorch")
        from jessl.integrations.lightning import RankMeCallback

        sample = DataLoader(TensorDataset(images(60, seed=9)), batch_size=16, shuffle=True)
        weights, modes = [], []
        for callbacks in ([], [RankMeCallback(sample)]):
            model = module()
            model.backbone[1].eval()
            fit(pl, model, callbacks)
            weights.append(model.state_dict())
            modes.append([m.training for m in model.modules()])
        for name, before in weights[0].items():
            torch.testing.assert_close(weights[1][name], before, rtol=0, atol=0)
        assert modes[0] == modes[1]

    def test_every_second_epoch_on_given_features(self) -> None:
        pl, module, _ = lightning_parts("lightning.pytorch")
        from jessl.integrations.lightning import RankMeCallback

        x, calls = images(600, seed=9), []

        def features(model: Any, batch: Any) -> torch.Tensor:
            calls.append(model.training)
            return model.backbone(batch[0])

        ours = RankMeCallback(
            DataLoader(TensorDataset(x), batch_size=200), "h", features=features, every_n_epochs=2
        )
        expected = []

        class Note(pl.Callback):
            def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
                copied = copy.deepcopy(pl_module).eval()
                with torch.no_grad():
                    expected.append(svd_rankme(copied.backbone(x)))

        trainer = fit(pl, module(), [ours, Note()], max_epochs=3)
        assert calls == [False] * 3
        # after the second epoch of three
        assert float(trainer.callback_metrics["rankme/h"]) == pytest.approx(expected[1], rel=3e-6)
        assert expected[1] != pytest.approx(expected[2], rel=3e-6)

    def test_a_checkpoint_is_chosen_by_it(self, tmp_path: Path) -> None:
        pl, module, note = lightning_parts("lightning.pytorch")
        from jessl.integrations.lightning import RankMeCallback

        x = images(60, seed=9)
        noted = note(x)
        best = pl.callbacks.ModelCheckpoint(tmp_path, monitor="rankme/projector", mode="max")
        fit(pl, module(), [best, RankMeCallback(x), noted], enable_checkpointing=True)
        assert float(best.best_model_score) == pytest.approx(max(noted.svd), rel=3e-6)

    def test_few_images_warn_once_and_nan_is_told(self) -> None:
        pl, module, _ = lightning_parts("lightning.pytorch")
        from jessl.integrations.lightning import RankMeCallback

        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            fit(pl, module(), [RankMeCallback(images(10))])
        texts = [str(w.message) for w in told]
        assert sum("n = 10 rows are fewer than 4 d = 24" in text for text in texts) == 1
        x = images(40)
        x[7] = torch.nan
        with pytest.warns(UserWarning, match="1 of 40 rows hold NaN"):
            trainer = fit(pl, module(), [RankMeCallback(x)])
        assert torch.isnan(trainer.callback_metrics["rankme/projector"])

    def test_mistakes(self) -> None:
        pl, module, _ = lightning_parts("lightning.pytorch")
        from jessl.integrations.lightning import RankMeCallback

        x = images(40)
        with pytest.raises(ValueError, match="every_n_epochs: expected at least 1, got 0"):
            RankMeCallback(x, every_n_epochs=0)
        with pytest.raises(ValueError, match="images: an iterator can be read once only"):
            RankMeCallback(iter([x]))
        data = TensorDataset(x)
        sampler = DistributedSampler(data, num_replicas=2, rank=0)
        with pytest.raises(ValueError, match="DistributedSampler repeats images"):
            RankMeCallback(DataLoader(data, sampler=sampler))
        for callback, text in (
            (RankMeCallback(x, "projektor"), "has no submodule 'projektor'; it has backbone, proj"),
            (
                RankMeCallback(x, "backbone.0"),
                "expected features of shape .batch, d., got .40, 8, 4",
            ),
            (
                RankMeCallback(x, features=lambda m, b: m(b).bfloat16()),
                "expected float32 features, got torch.bfloat16",
            ),
            (RankMeCallback(DataLoader(data, batch_size=50, drop_last=True)), "got no rows"),
        ):
            with pytest.raises(ValueError, match=text):
                fit(pl, module(), [callback])


class Examples:
    """Examples as mappings, as data sets of Hugging Face give them."""

    def __init__(self, n: int, seed: int) -> None:
        self.x = images(n, seed)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"pixel_values": self.x[index], "label": index % 3}


class TestHuggingFace:
    @pytest.fixture
    def parts(self, tmp_path: Path) -> Any:
        """(make a Trainer, the callback): a tiny ViT of a configuration, nothing downloaded."""
        transformers = pytest.importorskip("transformers", reason="transformers is not installed")
        pytest.importorskip("accelerate", reason="accelerate is not installed")
        from jessl.integrations.huggingface import RankMeCallback

        def trainer(callbacks: list[Any], **options: Any) -> Any:
            torch.manual_seed(2)
            config = transformers.ViTConfig(
                hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                image_size=6, patch_size=3, num_labels=3, hidden_dropout_prob=0.1,
            )  # fmt: skip
            options = {"eval_strategy": "epoch", "save_strategy": "no", **options}
            args = transformers.TrainingArguments(
                str(tmp_path), use_cpu=True, num_train_epochs=2, per_device_train_batch_size=8,
                report_to=[], disable_tqdm=True, learning_rate=0.05, logging_strategy="no",
                **options,
            )  # fmt: skip
            return transformers.Trainer(
                transformers.ViTForImageClassification(config), args,
                train_dataset=Examples(24, 0), eval_dataset=Examples(8, 1), callbacks=callbacks,
            )  # fmt: skip

        return trainer, RankMeCallback

    @staticmethod
    def svd(model: Any, x: torch.Tensor) -> float:
        copied = copy.deepcopy(model).eval()
        with torch.no_grad():
            return svd_rankme(copied.vit(x).last_hidden_state[:, 0])

    @staticmethod
    def cls(model: Any, batch: Any) -> torch.Tensor:
        return model.vit(batch["pixel_values"]).last_hidden_state[:, 0]

    @pytest.mark.parametrize("bf16", [False, True])
    def test_at_evaluations(self, parts: Any, bf16: bool) -> None:
        make, callback = parts
        sample = Examples(60, 9)
        ours = callback(sample, "vit", features=self.cls, batch_size=17)
        trainer = make([ours], bf16=bf16)
        trainer.train()
        name = "eval_rankme/vit"
        logged = [(e["epoch"], e["step"], e[name]) for e in trainer.state.log_history if name in e]
        assert [(epoch, step) for epoch, step, _ in logged] == [(1, 3), (2, 6)]
        assert logged[-1][-1] == pytest.approx(self.svd(trainer.model, sample.x), rel=3e-6)
        again = trainer.evaluate()
        assert again[name] == pytest.approx(logged[-1][-1], rel=1e-12)

    @pytest.mark.parametrize("bf16", [False, True])
    def test_by_the_name_of_a_layer(self, parts: Any, bf16: bool) -> None:
        make, callback = parts
        sample = Examples(60, 9)
        trainer = make([callback(sample, "classifier")], bf16=bf16)
        trainer.train()
        (*_, found) = [e["eval_rankme/classifier"] for e in trainer.state.log_history
                       if "eval_rankme/classifier" in e]  # fmt: skip
        copied = copy.deepcopy(trainer.model).eval()
        with torch.no_grad():
            z = copied.classifier(copied.vit(sample.x).last_hidden_state[:, 0])
        assert found == pytest.approx(svd_rankme(z), rel=3e-6)

    def test_the_best_model_is_chosen_by_it(self, parts: Any) -> None:
        make, callback = parts
        sample = Examples(60, 9)
        trainer = make(
            [callback(sample, "vit", features=self.cls)], save_strategy="epoch",
            metric_for_best_model="rankme/vit", load_best_model_at_end=True,
        )  # fmt: skip
        trainer.train()
        name = "eval_rankme/vit"
        values = [e[name] for e in trainer.state.log_history if name in e]
        assert trainer.state.best_metric == max(values)
        assert self.svd(trainer.model, sample.x) == pytest.approx(max(values), rel=3e-6)

    @pytest.mark.parametrize(
        ("when", "steps"), [({"every_n_steps": 2}, [2, 4, 6]), ({"every_n_epochs": 2}, [6])]
    )
    def test_between_evaluations(self, parts: Any, when: dict[str, int], steps: list[int]) -> None:
        make, callback = parts
        x = images(60, 9)
        told: list[dict[str, float]] = []
        trainer = make([], eval_strategy="no")

        def log(logs: dict[str, float]) -> None:
            told.append(dict(logs))
            trainer.log(logs)

        def features(model: Any, batch: torch.Tensor) -> torch.Tensor:
            return model.vit(batch).last_hidden_state[:, 0]

        trainer.add_callback(callback(x, "vit", features=features, log=log, **when))
        trainer.train()
        logged = [e for e in trainer.state.log_history if "rankme/vit" in e]
        assert [e["step"] for e in logged] == steps
        assert [e["rankme/vit"] for e in logged] == [one["rankme/vit"] for one in told]
        assert told[-1]["rankme/vit"] == pytest.approx(self.svd(trainer.model, x), rel=3e-6)

    def test_the_training_does_not_notice(self, parts: Any) -> None:
        make, callback = parts
        weights = []
        for callbacks in ([], [callback(Examples(60, 9), "vit", features=self.cls)]):
            trainer = make(callbacks)
            trainer.train()
            weights.append(trainer.model.state_dict())
        for name, before in weights[0].items():
            torch.testing.assert_close(weights[1][name], before, rtol=0, atol=0)

    def test_mistakes(self, parts: Any) -> None:
        make, callback = parts
        sample = Examples(60, 9)
        with pytest.raises(ValueError, match="give one of them, or none"):
            callback(sample, "vit", every_n_steps=1, every_n_epochs=1)
        with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
            callback(sample, "vit", batch_size=0)
        with pytest.raises(ValueError, match="dataset: expected at least 1 example"):
            callback([], "vit")
        with pytest.raises(ValueError, match="has no submodule 'head'; it has vit, classifier"):
            make([callback(sample, "head")]).train()
