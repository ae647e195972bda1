"""What a sweep says of jobs that run in other processes, on other machines even: seen by their folders alone."""

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from metacli.metrics import METRICS, shown
from metacli.sweeps.job import JobFolder

LOOK = 0.5  # seconds from one look at the folders to the next


@contextmanager
def followed(jobs: Sequence[JobFolder]) -> Iterator[None]:
    """Meanwhile, say when a job begins and how it ends."""
    looks = [_Look(job) for job in jobs]
    over = threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            for look in looks:
                look.again()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        for look in looks:
            look.again()


class _Look:
    """How a job was when it was looked at last."""

    def __init__(self, job: JobFolder) -> None:
        self.job = job
        self.before = (job.worker, job.failure())  # a killed process may have left its name
        self.begun = False
        self.ended = False

    def again(self) -> None:
        job = self.job
        changed = (job.worker, job.failure()) != self.before or job.report() is not None
        if self.ended or not changed:
            return
        if not self.begun:
            self.begun = True
            print(f"{job.title}: {' '.join(job.own)}", flush=True)
        if not job.worker:
            self.ended = True
            self._say_how()

    def _say_how(self) -> None:
        job = self.job
        report, failure = job.report(), job.failure()
        if report is not None:
            name, metric = report["primary"], report["metrics"][report["primary"]]
            result = shown(name, metric["mean"], metric["ci95"])
            print(f"{job.title} finished: {METRICS[name].words} {result}", flush=True)
        elif job.state == "failed" and failure is not None:
            print(f"metacli: {job.title} failed: {failure.reason}", file=sys.stderr, flush=True)
        else:
            print(f"{job.title} {job.state}", flush=True)
