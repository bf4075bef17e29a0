"""RankMe as a callback of the Hugging Face Trainer, on a data set that stays the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch.utils.data import DataLoader, Subset

from jessl.core import collectives
from jessl.integrations.layer_rankme import Features, Measure

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import TrainerControl, TrainerState, TrainingArguments


try:
    from accelerate.utils import send_to_device
    from transformers import TrainerCallback, default_data_collator
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "jessl.integrations.huggingface needs transformers and accelerate: "
        "pip install 'jessl[integrations]'"
    ) from error


class RankMeCallback(TrainerCallback):
    """Puts rankme/<layer>, as published, into the log history of a Trainer.

    By default at every evaluation, as eval_rankme/<layer>, in `state.log_history` and in the
    metrics that `evaluate` returns; so `metric_for_best_model="rankme/<layer>"` chooses by it (and
    EarlyStoppingCallback stops by it, where it stands behind this one). Between evaluations there
    is no such metric: with `every_n_steps` or `every_n_epochs` the value, rankme/<layer>, is
    logged only.

    All features come from one set of weights, in evaluation mode, float32 without autocast or
    TF32, and the training is unaffected. Under DDP each process takes its share of the data
    set and their sums are added; sharded parameters are refused.

    Args:
        dataset: the fixed sample: [index] gives an example, len their number (a tensor is one).
            As published: 25,600 training images, without augmentations, one view. Several
            evaluation sets measure it several times.
        layer: dotted name of a submodule of the model: its output [batch, d] while the model
            runs on a batch, whose columns must be arguments of forward.
        features: (model, batch) -> [batch, d] instead; `layer` then only names the value.
        every_n_steps, every_n_epochs: one of them, at least 1, instead of at evaluations.
        batch_size: examples at a time.
        collate: makes a batch of a list of examples; None: as the Trainer does for mappings, as
            torch does for others.
        log: `trainer.log`, for TensorBoard and other reporters to get it too; None: the value
            goes into the history (and trainer_state.json) only, because a callback does not know
            its Trainer.

    Raises:
        ValueError: for arguments out of range; when a training starts, for an unknown layer; when
            it measures, for features that are not [batch, d] or are of half precision.
    """

    def __init__(
        self,
        dataset: Any,
        layer: str,
        *,
        features: Features | None = None,
        every_n_steps: int | None = None,
        every_n_epochs: int | None = None,
        batch_size: int = 256,
        collate: Callable[[list[object]], Any] | None = None,
        log: Callable[[dict[str, float]], None] | None = None,
    ) -> None:
        if every_n_steps is not None and every_n_epochs is not None:
            raise ValueError("every_n_steps, every_n_epochs: give one of them, or none")
        for name, number in (
            ("every_n_steps", every_n_steps),
            ("every_n_epochs", every_n_epochs),
            ("batch_size", batch_size),
        ):
            if number is not None and number < 1:
                raise ValueError(f"{name}: expected at least 1, got {number}")
        if len(dataset) < 1:
            raise ValueError("dataset: expected at least 1 example, got none")
        self.dataset, self.batch_size, self.collate, self.log = dataset, batch_size, collate, log
        self.every_n_steps, self.every_n_epochs = every_n_steps, every_n_epochs
        self._measure = Measure(layer, features)

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: nn.Module,
        **kwargs: object,
    ) -> None:
        self._measure.check(model)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        *,
        model: nn.Module,
        **kwargs: object,
    ) -> None:
        if self.every_n_steps is not None or self.every_n_epochs is not None:
            return
        name = f"eval_{self._measure.name}"
        value = self._log(name, args, state, model)
        if metrics is not None:
            # the Trainer chooses the best model by this dictionary when the callbacks are done
            metrics[name] = value

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: nn.Module,
        **kwargs: object,
    ) -> None:
        if self.every_n_steps is not None and state.global_step % self.every_n_steps == 0:
            self._log(self._measure.name, args, state, model)

    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: nn.Module,
        **kwargs: object,
    ) -> None:
        if self.every_n_epochs is not None and round(state.epoch) % self.every_n_epochs == 0:
            self._log(self._measure.name, args, state, model)

    def _log(
        self, name: str, args: TrainingArguments, state: TrainerState, model: nn.Module
    ) -> float:
        value = self._measure(model, self._share(args.device))
        if self.log is not None:
            self.log({name: value})
        else:
            entry = {name: value, "epoch": state.epoch, "step": state.global_step}
            state.log_history.append(entry)
        return value

    def _share(self, device: torch.device) -> Iterator[object]:
        """The batches of this process, on its device."""
        indices = range(collectives.rank(), len(self.dataset), collectives.world())
        if not indices:
            return
        collate = self.collate
        if collate is None and isinstance(self.dataset[indices[0]], Mapping):
            collate = default_data_collator
        mine = Subset(self.dataset, indices)
        for batch in DataLoader(mine, self.batch_size, collate_fn=collate):
            yield send_to_device(batch, device)
