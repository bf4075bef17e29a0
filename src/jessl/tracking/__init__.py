"""Tracking: the records of a run also go to TensorBoard, Weights & Biases, MLflow or a table.

Loggers follow records.jsonl in threads of their own, so that none of them can slow or end a
training. May import runs, records, schema, config and core; no torch.
"""

from jessl.tracking.logger import Status as Status
from jessl.tracking.registry import check_loggers as check_loggers
from jessl.tracking.tracking import RunTracker as RunTracker
from jessl.tracking.tracking import Tracking as Tracking

__all__ = ["RunTracker", "Status", "Tracking", "check_loggers"]
