"""What a process of a launcher does: one job of a sweep."""

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from omegaconf import DictConfig

from metacli.commands.stop import stop
from metacli.commands.work import work
from metacli.sweeps.folder import open_sweep


@dataclass(frozen=True)
class Task:
    """What a launched process does. Hydra hands it a config with the number of its job.

    origin: the process of the sweep itself; some launchers have a job done there (joblib with n_jobs=1).
    """

    sweep: Path
    origin: tuple[str, int]

    def __call__(self, composed: DictConfig) -> int:
        sweep = open_sweep(self.sweep)
        job = sweep.jobs[composed.job - 1]
        if self.origin == this_process():
            code = work(job, sweep.stop.exists)
            if code >= 128:
                stop(code - 128)
            return code
        _end_with(os.getppid())
        with suppress(PermissionError):
            os.setpgid(0, 0)  # away from the terminal's Ctrl-C: the sweep passes it on, once
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with _output_to(job.output):
            try:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
                return work(job, sweep.stop.exists)
            except KeyboardInterrupt:
                return 128 + signal.SIGINT


def this_process() -> tuple[str, int]:
    return socket.gethostname(), os.getpid()


@cache
def _end_with(parent: int) -> None:
    """joblib's processes would outlive a sweep that is killed: its job too, then they would wait for ever."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _output_to(path: Path) -> Iterator[None]:
    """What this process writes to its standard streams, by whatever means."""
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = (sys.stdout, sys.stderr)
    kept = [os.dup(number) for number in (1, 2)]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        for number in (1, 2):
            os.dup2(file, number)
        yield
    finally:
        for stream in streams:
            stream.flush()
        for number, before in zip((1, 2), kept, strict=True):
            os.dup2(before, number)
            os.close(before)
        os.close(file)
