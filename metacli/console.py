"""What a run says while it works: a live line on a terminal, plain lines in a pipe; both go to the log."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from metacli.metrics import shown, validation_metric


class Display(Protocol):
    def step(self, step: int) -> None:
        """Another step of training is done."""

    def update(self, step: int, row: Mapping[str, Any], tasks: int) -> None: ...


@dataclass(frozen=True)
class Counting:
    """How far a training is, in words.

    unit: what is counted, `each` so many steps · things: what a step goes through.
    """

    unit: str = "step"
    each: int = 1
    things: str = "tasks"

    def place(self, step: int, steps: int) -> str:
        """'step 20/600', 'pretrain epoch 3/20'"""
        return f"{self.unit} {step // self.each}/{steps // self.each}"


STEPS = Counting()


class Console:
    """`log` receives every line as well. live: whether lines may be redrawn; by default on a terminal that can."""

    def __init__(self, log: Callable[[str], None] = lambda line: None, *, live: bool | None = None) -> None:
        self.log = log
        able = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self.live = able if live is None else live

    def say(self, line: str) -> None:
        self.log(line)
        print(line, flush=True)

    @contextmanager
    def training(self, steps: int, done: int, counting: Counting) -> Iterator[Display]:
        pace = _Pace(steps, done, counting.things)
        if not self.live:
            yield _Lines(self.say, steps, counting, pace)
            return
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.completed}/{task.total}"),
            BarColumn(bar_width=16),
            TextColumn("{task.description}"),
            TimeRemainingColumn(compact=True),
        )
        with Progress(*columns, transient=True, refresh_per_second=4) as progress:
            bar = progress.add_task("starting", total=steps, completed=done)
            yield _Live(self, progress, bar, steps, counting, pace)

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Callable[[int], None]]:
        """A callback that takes the number done."""
        if not self.live:
            yield lambda done: None
            return
        from rich.progress import Progress

        with Progress(transient=True) as progress:
            bar = progress.add_task(what, total=total)
            yield lambda done: progress.update(bar, completed=done)


class _Lines:
    """A line whenever something was measured."""

    def __init__(self, say: Callable[[str], None], steps: int, counting: Counting, pace: "_Pace") -> None:
        self.say = say
        self.steps = steps
        self.counting = counting
        self.pace = pace

    def step(self, step: int) -> None:
        self.pace.step()

    def update(self, step: int, row: Mapping[str, Any], tasks: int) -> None:
        speed, left = self.pace.update(step, tasks)
        parts = [
            self.counting.place(step, self.steps),
            f"loss {row['loss']:.4f}",
            _validation(row),
            speed,
            f"{left} left",
        ]
        self.say("  ".join(part for part in parts if part))


class _Live:
    """One line that is redrawn; validations stay on the screen."""

    def __init__(
        self, console: Console, progress: Any, bar: Any, steps: int, counting: Counting, pace: "_Pace"
    ) -> None:
        self.console = console
        self.progress = progress
        self.bar = bar
        self.steps = steps
        self.counting = counting
        self.pace = pace
        self.validation = ""

    def step(self, step: int) -> None:
        self.pace.step()
        self.progress.update(self.bar, completed=step)

    def update(self, step: int, row: Mapping[str, Any], tasks: int) -> None:
        speed, _ = self.pace.update(step, tasks)
        if validation := _validation(row):
            self.validation = validation
            place = self.counting.place(step, self.steps)
            line = f"{place}  loss {row['loss']:.4f}  {validation}  {speed}"
            self.console.log(line)
            self.progress.console.print(line, highlight=False)
        self.progress.update(self.bar, description=f"loss {row['loss']:.4f}  {self.validation}  {speed}")


class _Pace:
    """Tasks a second of training since the last look, and time left by the mean pace of this process, validations
    included."""

    def __init__(self, steps: int, done: int, things: str) -> None:
        self.steps = steps
        self.done = done
        self.things = things
        self.started = self.looked = self.stepped = time.monotonic()

    def step(self) -> None:
        self.stepped = time.monotonic()

    def update(self, step: int, tasks: int) -> tuple[str, str]:
        now = time.monotonic()
        speed = tasks / max(self.stepped - self.looked, 1e-9)
        left = (self.steps - step) * (now - self.started) / max(step - self.done, 1)
        self.looked = now
        minutes, seconds = divmod(int(left), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
        return f"{speed:.0f} {self.things}/s", clock if hours < 100 else "days"


def _validation(row: Mapping[str, Any]) -> str:
    if "val_ci95" not in row:
        return ""
    metric = validation_metric(row)
    also = (
        f"held out {shown('accuracy', row['held_out_accuracy'], None)}  "
        if "held_out_accuracy" in row
        else ""
    )
    return f"{also}val {shown(metric, row[f'val_{metric}'], row['val_ci95'])}"
