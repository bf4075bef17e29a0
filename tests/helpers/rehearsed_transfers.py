"""The places in the package where the host may wait for the device, each with its reason."""

from __future__ import annotations

_ONCE = "weights or state, once"
_RESULT = "the result is wanted on the host"

# FILE:FUNCTION of src/jessl -> reason
MEANT: dict[str, str] = {
    "pretraining/build.py:_place": _ONCE,
    "pretraining/build.py:_negative_pool": _ONCE,
    "probes/layers.py:LayerProbes._apply": _ONCE,
    "probes/layers.py:LayerProbes.load_optimizer_state": _ONCE,
    "training/checkpoint.py:restore": _ONCE,
    "training/checkpoint.py:save.<locals>.<dictcomp>": "a checkpoint is written by the host",
    "training/step.py:Trainer.load_state": _ONCE,
    "training/step.py:Trainer.load_state.<locals>.<listcomp>": _ONCE,
    "training/step.py:Trainer.load_state.<locals>.<listcomp>.<dictcomp>": _ONCE,
    "data/loading/loader.py:Loader._all_on_device": "all images, once an epoch at most",
    "data/loading/loader.py:Loader._filler": "all images, once",
    "views/gpu/apply.py:_constant": "a cached constant",
    "views/gpu/apply.py:_normal": "a cached constant",
    "training/collapse.py:spread": "a number of the log, every log_steps",
    "training/loop.py:_mean": "a number of the log, every log_steps",
    "training/tuning/trial.py:Trial.step": "a step is timed",
    "training/tuning/agreement.py:sample": "the loss of one step of each candidate",
    "training/tuning/agreement.py:sample.<locals>.<genexpr>": "its gradient",
    "pretraining/announcement.py:seconds_per_step": "a step is timed",
    "extraction/embed.py:embed.<locals>.prepare": _ONCE,
    "extraction/extract.py:extract_batches": _RESULT,
    "embeddings/_checks.py:_as_array": _RESULT,
    "probes/layers.py:LayerProbes.accuracy": _RESULT,
    "probes/layers.py:LayerProbes._logits.<locals>.logits": _RESULT,
    "probes/kinds/knn.py:_backend.<locals>.<lambda>": "16,384 rows at a time",
    "probes/kinds/knn.py:_to_numpy": _RESULT,
    "probes/kinds/mlp.py:PerceptronProbe.decision_function": _RESULT,
    "probes/kinds/mlp.py:_DeviceRows.__init__": "all rows, once",
    "probes/kinds/mlp.py:_Network.__init__.<locals>.parameter": _ONCE,
    "probes/kinds/mlp.py:_train": "labels once; the loss once an epoch",
    "probes/softmax.py:TorchSoftmaxLoss.__init__": "all rows, once",
    "probes/softmax.py:TorchSoftmaxLoss.__call__": "L-BFGS runs on the host",
    "probes/softmax.py:TorchSoftmaxLoss.__call__.<locals>.<listcomp>": "L-BFGS runs on the host",
    "scores/gram/gram.py:RowSums.add.<locals>.<genexpr>": "the rows of a jackknife block",
    "scores/gram/gram.py:RowSums._add_on_cuda": "sums of many rows are kept on the host",
    "scores/gram/row_norms.py:squared_norm_histogram": "sums of many rows are kept on the host",
    "scores/rows.py:_count_nonfinite_rows": "rows are checked once",
    "scores/rows.py:as_rows": "rows are checked once",
    "scores/rows.py:to_numpy": _RESULT,
    "scores/score.py:_shuffle": "an order, once a score",
}
