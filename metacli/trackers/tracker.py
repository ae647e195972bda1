"""What a tracker is: told when a run starts or goes on, of every row of its history, of its report and of its end.

Whatever it raises, the run goes on without it: see tracking.py.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Row = Mapping[str, Any]  # {"step": 100, "loss": 0.7, ...}, as in metrics.jsonl


@dataclass(frozen=True)
class TrackedRun:
    """`folder` is the run's own; `config` all that it was made with."""

    folder: Path
    config: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The same whenever the run goes on, and no other run's."""
        return self.folder.name

    @property
    def name(self) -> str:
        return f"{self.config['run']['name']}/{self.id}"


class Tracker(Protocol):
    where: str  # once started: the place to look for what it keeps

    def start(self, run: TrackedRun, step: int) -> int:
        """Begin, or go on after `step`. Returns the last step that it holds: rows up to there do not come again."""

    def log(self, row: Row) -> None: ...

    def finish(self, metrics: Mapping[str, float], report: Path) -> None:
        """metrics: the final ones · report: the folder of plots and tables."""

    def close(self, *, finished: bool) -> None:
        """finished: False where the run was stopped or failed."""


def numbers(row: Row) -> dict[str, float]:
    """What can be plotted over the steps."""
    return {
        key: value
        for key, value in row.items()
        if key != "step" and isinstance(value, int | float) and not isinstance(value, bool)
    }


def leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of each setting."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
