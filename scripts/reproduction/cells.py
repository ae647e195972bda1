"""Methods on Omniglot, each trained under its preset for a budget of minutes."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metacli.config.compose import option_files
from metacli.files import write_atomic
from reproduction import budget, runs
from reproduction.published import PUBLISHED

RUNS = runs.RUNS / "omniglot_cells"


@dataclass(frozen=True)
class Cell:
    """A method in a setting such as 5w1s, with a budget of minutes."""

    method: str
    setting: str
    minutes: float = 0.0

    @property
    def preset(self) -> str:
        return f"omniglot/{self.method}_{self.setting}"

    @property
    def folder(self) -> Path:
        return RUNS / self.setting / self.method / f"{self.minutes:g}"

    @property
    def known(self) -> Path:
        """The file of its overrides."""
        return self.folder / "overrides.json"

    @property
    def overrides(self) -> list[str]:
        found: list[str] = json.loads(self.known.read_text(encoding="utf-8"))
        return found


def with_preset(settings: Sequence[str], methods: Sequence[str] = ()) -> list[Cell]:
    """All methods, where none is named."""
    presets = option_files()["experiment"]
    every = (Cell(method, setting) for setting in settings for method in methods or PUBLISHED)
    return [cell for cell in every if cell.preset in presets]


def begun() -> list[Cell]:
    """Those with a run here, finished or not."""
    found = [path.relative_to(RUNS).parts[:3] for path in sorted(RUNS.glob("*/*/*/overrides.json"))]
    return [
        Cell(method, setting, float(minutes)) for setting, method, minutes in found if method in PUBLISHED
    ]


def run(cell: Cell, *, again: bool) -> bool:
    """Whether it is finished. What its minutes come to is measured once, so that a run that goes on is the same."""
    if again:
        shutil.rmtree(cell.folder, ignore_errors=True)
    if not cell.known.exists():
        found = budget.fitted(cell.preset, cell.minutes, RUNS / "pilots" / cell.setting / cell.method)
        if found is None:
            return False
        write_atomic(cell.known, json.dumps([f"experiment={cell.preset}", *found]))
    return runs.train(cell.folder, cell.overrides)
