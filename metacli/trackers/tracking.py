"""Several trackers as one. What one of them raises is said once, and the run goes on without it.

Trackers count steps in one line through all stages of a run: the first step of meta-training comes after the last one
of pretraining, whose numbers are called pretrain_loss and so on.
"""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from textwrap import shorten
from types import TracebackType
from typing import Any, Self

from metacli.trackers.tracker import Row, TrackedRun, Tracker


class Tracking:
    """`say` receives a line for the user. Leaving the context closes what has been started."""

    def __init__(self, trackers: Mapping[str, Tracker], say: Callable[[str], None]) -> None:
        self.trackers = trackers
        self.say = say
        self.held: dict[str, int] = {}  # of those that were started and did not fail: the last step they have
        self.line = _Line()

    def start(self, run: TrackedRun, history: Sequence[Row]) -> None:
        """history: the rows of a run that goes on; those that a tracker lacks are logged again."""
        rows = [self.line.placed(row) for row in history]
        step = rows[-1]["step"] if rows else 0
        for name, tracker in self.trackers.items():
            with self._left_out_if_it_fails(name):
                self.held[name] = tracker.start(run, step)
                self.say(f"tracker {name}: {tracker.where}")
        for row in rows:
            self._log(row)

    def log(self, row: Row) -> None:
        self._log(self.line.placed(row))

    def _log(self, row: Row) -> None:
        for name, step in list(self.held.items()):
            if row["step"] > step:
                with self._left_out_if_it_fails(name):
                    self.trackers[name].log(row)

    def finish(self, report: Path) -> None:
        """report: the folder of the finished report."""
        for name in list(self.held):
            with self._left_out_if_it_fails(name):
                summary = json.loads((report / "report.json").read_text(encoding="utf-8"))
                self.trackers[name].finish(final_metrics(summary), report)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self.held):
            with self._left_out_if_it_fails(name):
                self.trackers[name].close(finished=kind is None)

    @contextmanager
    def _left_out_if_it_fails(self, name: str) -> Iterator[None]:
        try:
            with warnings.catch_warnings(action="ignore"):  # its libraries have much to say to each other
                yield
        except Exception as error:
            self.held.pop(name, None)
            self.say(f"tracker {name} failed and is left out from now on: {_in_a_line(error)}")
            with suppress(Exception):
                self.trackers[name].close(finished=False)


class _Line:
    """The steps of all stages, one after another."""

    def __init__(self) -> None:
        self.stage = ""
        self.before = 0  # steps of the stages that are over
        self.last = 0

    def placed(self, row: Row) -> Row:
        """As it is told to trackers. Rows come in order."""
        stage = row.get("stage", "")
        if stage != self.stage:
            self.before, self.stage = self.last, stage
        self.last = self.before + row["step"]
        named = {f"{stage}_{key}": value for key, value in row.items() if key not in ("stage", "step")}
        return {**(named if stage else row), "step": self.last}


def _in_a_line(error: BaseException) -> str:
    """What lies behind it: libraries wrap a full disk or a server that is away into pages of their own."""
    while error.__cause__ is not None:
        error = error.__cause__
    return shorten(f"{type(error).__name__}: {error}", 160, placeholder=" ...").removesuffix(":")


def final_metrics(report: Mapping[str, Any]) -> dict[str, float]:
    """{"test_accuracy": 0.9, "test_accuracy_ci95": 0.01, ...} of a report.json."""
    split = report["protocol"]["split"]
    found = {}
    for name, metric in report["metrics"].items():
        found[f"{split}_{name}"] = metric["mean"]
        found[f"{split}_{name}_ci95"] = metric["ci95"]
    return {name: value for name, value in found.items() if value is not None}
