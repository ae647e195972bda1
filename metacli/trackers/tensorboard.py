"""TensorBoard event files.

They hold curves, the report's plots, and settings beside final metrics, which HPARAMS shows.

    metacli train tracker=tensorboard
    tensorboard --logdir runs
"""

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metacli.trackers.tracker import Row, TrackedRun, leaves, numbers


class TensorBoard:
    """dir: None for a folder in the run's own, else one that holds a folder for each run.

    Events are written in place: SummaryWriter leaves that to a thread, which keeps them from a run that is killed
    and dies with a traceback when the disk is full.
    """

    where: str

    def __init__(self, *, dir: str | None) -> None:
        self.dir = dir

    def start(self, run: TrackedRun, step: int) -> int:
        from tensorboard.compat.proto.event_pb2 import SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = Path(self.dir, run.name) if self.dir else run.folder / "tensorboard"
        self.where = str(folder)
        self.config = run.config
        self.step = step
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns():020d}.{socket.gethostname()}.{os.getpid()}"
        self.records = RecordWriter((folder / name).open("xb"))
        self._write(0, file_version="brain.Event:2")
        # What a killed process logged after `step` is dropped by readers: it comes again.
        self._write(step + 1, session_log=SessionLog(status=SessionLog.START))
        return step

    def log(self, row: Row) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        self.step = row["step"]
        values = [Summary.Value(tag=tag, simple_value=value) for tag, value in numbers(row).items()]
        self._write(self.step, summary=Summary(value=values))

    def finish(self, metrics: Mapping[str, float], report: Path) -> None:
        from torch.utils.tensorboard.summary import hparams

        self.log({"step": self.step, **metrics})
        for path in sorted(report.glob("*.png")):
            self._write(self.step, summary=_picture(path))
        settings = {key: _plain(value) for key, value in leaves(self.config)}
        for summary in hparams(settings, dict(metrics)):
            self._write(0, summary=summary)

    def close(self, *, finished: bool) -> None:
        self.records.close()

    def _write(self, step: int, **what: Any) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        self.records.write(Event(wall_time=time.time(), step=step, **what).SerializeToString())
        self.records.flush()


def _picture(path: Path) -> Any:
    from PIL import Image
    from tensorboard.compat.proto.summary_pb2 import Summary

    with Image.open(path) as image:
        width, height = image.size
    picture = Summary.Image(height=height, width=width, colorspace=4, encoded_image_string=path.read_bytes())
    return Summary(value=[Summary.Value(tag=path.stem, image=picture)])


def _plain(value: Any) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else str(value)
