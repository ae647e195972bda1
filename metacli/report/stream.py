"""How a learner fared on a stream of tasks whose distribution changed once: numbers, a table, a picture."""

import csv
import io
from dataclasses import dataclass

import numpy as np

from metacli.metrics import shown
from metacli.report.canvas import BLUE, INK, MUTED, ORANGE, blank, look, png

WITHIN = 0.02  # of its final level: then it has recovered


@dataclass(frozen=True)
class Stream:
    """Of each task, in order, before it was learned from: accuracy and loss [tasks] of its queries.

    change: what happened after so many tasks · window: tasks over which accuracy is averaged; at most those before the
    change, and at most those after it.
    """

    accuracy: np.ndarray
    loss: np.ndarray
    change: str
    after: int
    window: int

    @property
    def windows(self) -> np.ndarray:
        """Mean accuracy of the `window` tasks that end with each, nan for the first ones. [tasks]"""
        sums = np.cumsum(np.concatenate([[0.0], self.accuracy]))
        means = (sums[self.window :] - sums[: -self.window]) / self.window
        return np.concatenate([np.full(self.window - 1, np.nan), means])

    @property
    def cumulative_loss(self) -> np.ndarray:
        return np.cumsum(self.loss)

    @property
    def recovery(self) -> int:
        """Tasks after the change until a window that lies behind it has a mean within 2 points of the last one's."""
        behind = self.windows[self.after + self.window - 1 :]
        return int(np.flatnonzero(behind >= behind[-1] - WITHIN)[0]) + self.window

    def summary(self) -> dict[str, float | int | str]:
        windows = self.windows
        return {
            "tasks": len(self.loss),
            "change": self.change,
            "after": self.after,
            "window": self.window,
            "cumulative_loss": float(self.cumulative_loss[-1]),
            "accuracy": float(self.accuracy.mean()),
            "accuracy_before": float(windows[self.after - 1]),
            "accuracy_just_after": float(windows[self.after + self.window - 1]),
            "accuracy_at_the_end": float(windows[-1]),
            "recovery": self.recovery,
        }

    def text(self) -> list[str]:
        windows = self.windows
        before, after, last = (
            shown("accuracy", windows[place], None)
            for place in (self.after - 1, self.after + self.window - 1, -1)
        )
        return [
            f"accuracy {before} in the last {self.window} tasks before the change ({self.change}), {after} in the "
            f"first {self.window} after it, {last} in the last {self.window} of all",
            f"recovery {self.recovery} tasks after the change (a window within 2 points of the last one)",
            f"cumulative loss {self.cumulative_loss[-1]:.2f} nats over {len(self.loss)} tasks",
        ]

    def csv(self) -> str:
        lines = io.StringIO()
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow(["task", "accuracy", "loss", "window_accuracy", "cumulative_loss"])
        columns = (self.accuracy, self.loss, self.windows, self.cumulative_loss)
        for task, values in enumerate(zip(*columns, strict=True), 1):
            writer.writerow([task, *(("" if np.isnan(value) else repr(float(value))) for value in values)])
        return lines.getvalue()

    @look()
    def picture(self) -> bytes:
        figure = blank(7, 5)
        above, below = figure.subplots(2, 1, sharex=True)
        tasks = np.arange(1, len(self.loss) + 1)
        above.scatter(tasks, 100 * self.accuracy, s=4, color=MUTED, alpha=0.3, linewidth=0, label="a task")
        above.plot(tasks, 100 * self.windows, color=BLUE, label=f"mean of {self.window}")
        above.set_ylabel("accuracy, %")
        above.set_title(f"before each task was learned from; {self.change} after {self.after}")
        below.plot(tasks, self.cumulative_loss, color=BLUE)
        below.set_ylabel("cumulative loss, nats")
        below.set_xlabel("task")
        for axes in (above, below):
            axes.axvline(self.after, color=INK, linewidth=0.8)
            axes.axvline(self.after + self.recovery, color=ORANGE, linewidth=0.8, linestyle="--")
        above.plot([], [], color=ORANGE, linewidth=0.8, linestyle="--", label="recovered")
        figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        return png(figure)
