"""The folder of one job of a sweep: which of its runs counts, and how far it is."""

import fcntl
import json
import os
import shutil
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacli.errors import UserError
from metacli.files import write_json
from metacli.report.read import read_report
from metacli.rundir import RunFolder
from metacli.sweeps.lock import opened, taken


@dataclass(frozen=True)
class Failure:
    """Of the last attempt: its exit code, what the user was told, and the runs that are given up, by name."""

    code: int
    reason: str
    runs: Sequence[str]


@dataclass(frozen=True)
class JobFolder:
    """own: the overrides that tell the job from the others of its sweep."""

    path: Path
    number: int
    total: int
    overrides: Sequence[str]
    own: Sequence[str]
    choices: Mapping[str, str]
    config: dict[str, Any]

    @property
    def title(self) -> str:
        return f"job {self.number}/{self.total}"

    @property
    def output(self) -> Path:
        """What it printed where a launcher gave it a process of its own."""
        return self.path / "output.txt"

    @property
    def log(self) -> Path | None:
        """Where to look for what went wrong."""
        logs = [run.path / "log.txt" for run in self.runs()[-1:]] + [self.output]
        return next((path for path in logs if path.exists()), None)

    def runs(self) -> list[RunFolder]:
        """Every attempt that got as far as to be a run; those of one second in no order."""
        return [RunFolder(found.parent) for found in sorted(self.path.glob("*/manifest.json"))]

    def failure(self) -> Failure | None:
        """None, too, where its file is damaged: then the attempt is taken up again, and fails again."""
        try:
            return Failure(**json.loads((self.path / "failure.json").read_bytes()))
        except (OSError, ValueError, TypeError):
            return None

    def fail(self, code: int, reason: str) -> None:
        """Every run that is there now is given up."""
        runs = [run.path.name for run in self.runs()]
        write_json(self.path / "failure.json", {"code": code, "reason": reason, "runs": runs})

    def current(self) -> RunFolder | None:
        """The run that counts: the one attempt that has not failed."""
        failure = self.failure()
        given_up = failure.runs if failure else ()
        return next((run for run in self.runs() if run.path.name not in given_up), None)

    def report(self) -> dict[str, Any] | None:
        """What its run reported, if that is there, whole and unaltered: then the job is done."""
        run = self.current()
        try:
            return read_report(run.report) if run and run.finished else None
        except UserError:
            return None

    @property
    def state(self) -> str:
        """finished, interrupted, failed or "not begun"."""
        if self.report() is not None:
            return "finished"
        if self.current() is not None:
            return "interrupted"
        return "failed" if self.failure() else "not begun"

    def clear(self) -> None:
        """Remove what was left of a run by a process that was killed while it made the folder."""
        for folder in self.path.glob("????????-??????-??????"):
            if not (folder / "manifest.json").exists():
                shutil.rmtree(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time works on a job; another one waits, as it may outlive the sweep that began it."""
        with opened(self._lock) as file:
            if not taken(file):
                print(f"{self.title}: another process works on it; waiting", flush=True)
                fcntl.flock(file, fcntl.LOCK_EX)
            file.truncate(0)
            file.write(f"{os.getpid()} {socket.gethostname()}")
            file.flush()
            try:
                yield
            finally:
                file.truncate(0)

    @property
    def worker(self) -> str:
        """Who works on it, "process host" by its own word, which outlives a kill; empty where nobody does."""
        try:
            return self._lock.read_text()
        except OSError:
            return ""

    @property
    def worked_on(self) -> bool:
        """Whether a living process of this machine works on it."""
        try:
            with self._lock.open() as file:
                return not taken(file)
        except OSError:
            return False

    def interrupt(self) -> None:
        """Ask the process that works on it, if it is of this machine, to save and stop."""
        process, _, host = self.worker.partition(" ")
        if host == socket.gethostname() and self.worked_on:
            with suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGINT)

    @property
    def _lock(self) -> Path:
        return self.path / ".lock"
