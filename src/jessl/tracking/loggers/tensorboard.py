"""TensorBoard: one file of events in the run folder, tensorboard/.

Events are written by the record format and the messages of the package `tensorboard` alone:
`torch.utils.tensorboard` and `tensorboard.summary` ask for TensorFlow, whose import takes seconds
where it is installed. These modules take .13 s beside torch.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from jessl.core.files import atomic_write, contained
from jessl.tracking.logger import Logger, Status, TrackedRun, Value
from jessl.tracking.points import MetricPoint

FOLDER = "tensorboard"
_OWN = re.compile(r"events\.out\.tfevents\.\d+\.\d+\.jessl")


class TensorBoardLogger(Logger):
    """Writes the events of a run.

    A resumed run writes a new file with all points of the run, and removes the one before: no point
    is there twice or missing. A TensorBoard that is open drops the points of the old file, since
    the new one begins a session at step 0.
    """

    module = "tensorboard"
    extra = "tensorboard"

    def __init__(self, tracked: TrackedRun) -> None:
        from tensorboard.compat.proto import event_pb2, summary_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary, self._writer_class = event_pb2, summary_pb2, RecordWriter
        self._folder = contained(tracked.path, FOLDER)
        self._hyperparameters = tracked.hyperparameters
        self._name = tracked.name
        self._group = tracked.group
        self._file: IO[bytes] | None = None
        self._writer: Any = None

    @classmethod
    def place(cls, path: Path) -> str:
        """The command that shows it."""
        return f"tensorboard --logdir {path}"

    def log(self, points: Sequence[MetricPoint]) -> None:
        """Write points; the first ones begin the file."""
        if self._file is None:
            self._begin(points)
            return
        now = time.time()
        for event in self._events(points, now - (points[-1].seconds or 0.0) if points else now):
            self._writer.write(event)
        self._file.flush()

    def close(self, status: Status) -> None:
        """Write how the run ended, unless it is to go on, and close the file."""
        if self._file is None:
            return
        if status != "interrupted":
            self._writer.write(self._session_end(status))
        self._file.close()
        self._file = None

    def _begin(self, points: Sequence[MetricPoint]) -> None:
        """A new file with all points so far takes the place of older ones."""
        self._folder.mkdir(exist_ok=True)
        now = time.time()
        seconds, rest = divmod(time.time_ns(), 10**9)  # TensorBoard reads files by name
        path = self._folder / f"events.out.tfevents.{seconds:010d}.{rest:09d}.jessl"
        with atomic_write(path) as part, part.open("wb") as file:
            writer = self._writer_class(file)
            began = now - max((p.seconds or 0.0 for p in points), default=0.0)
            first = self._event.Event(wall_time=began, file_version="brain.Event:2")
            writer.write(first.SerializeToString())
            log = self._event.SessionLog(status=self._event.SessionLog.START)
            start = self._event.Event(wall_time=began, step=0, session_log=log)
            writer.write(start.SerializeToString())
            writer.write(self._session_start(began))
            for event in self._events(points, began):
                writer.write(event)
        for old in self._folder.iterdir():
            if old != path and _OWN.fullmatch(old.name) and not old.is_symlink():
                old.unlink()
        self._file = path.open("ab")
        self._writer = self._writer_class(self._file)

    def _events(self, points: Sequence[MetricPoint], began: float) -> Iterator[bytes]:
        """Events at the times of their measurement: the axis "relative" is that of training."""
        seconds = 0.0
        for point in points:
            seconds = seconds if point.seconds is None else point.seconds
            value = self._summary.Summary.Value(tag=point.name, simple_value=point.value)
            summary = self._summary.Summary(value=[value])
            event = self._event.Event(wall_time=began + seconds, step=point.step, summary=summary)
            yield event.SerializeToString()

    def _session_start(self, began: float) -> bytes:
        """The hyperparameters, for the page HPARAMS."""
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        info = plugin_data_pb2.SessionStartInfo(start_time_secs=began, group_name=self._name)
        for name, value in self._hyperparameters.items():
            _set(info.hparams[name], value)
        if self._group is not None:
            info.hparams["study"].string_value = self._group
        data = plugin_data_pb2.HParamsPluginData(session_start_info=info)
        return self._about_session(metadata.SESSION_START_INFO_TAG, data, began)

    def _session_end(self, status: Status) -> bytes:
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        ends = {"failed": api_pb2.STATUS_FAILURE}
        info = plugin_data_pb2.SessionEndInfo(
            status=ends.get(status, api_pb2.STATUS_SUCCESS), end_time_secs=time.time()
        )
        data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
        return self._about_session(metadata.SESSION_END_INFO_TAG, data, time.time())

    def _about_session(self, tag: str, data: Any, wall_time: float) -> bytes:
        from tensorboard.plugins.hparams import metadata

        value = self._summary.Summary.Value(
            tag=tag, metadata=metadata.create_summary_metadata(data), tensor=metadata.NULL_TENSOR
        )
        summary = self._summary.Summary(value=[value])
        event = self._event.Event(wall_time=wall_time, summary=summary)
        content: bytes = event.SerializeToString()
        return content


def _set(field: Any, value: Value) -> None:
    """Set the member of a protobuf value that fits."""
    if isinstance(value, bool):
        field.bool_value = value
    elif isinstance(value, int | float):
        field.number_value = value
    else:
        field.string_value = value
