"""The runs below a folder: where each stands, and what it was, read without torch and fast enough for thousands."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from metacli.errors import UserError
from metacli.files import last_lines
from metacli.metrics import METRICS, shown
from metacli.rundir import RunFolder

STATUSES = ("finished", "running", "interrupted", "failed", "damaged")


@dataclass(frozen=True)
class Run:
    """What a list says of a run.

    status: one of STATUSES · reason: why it failed, or cannot be read · created: when it was made ·
    config, choices: as in `RunFolder` · row: the last one of its history, {"step": 0} before the first, empty where
    nothing is trained · headline: metric, split, mean, ci95 and n, once it is finished.
    """

    folder: RunFolder
    status: str
    reason: str
    created: datetime
    config: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    row: dict[str, Any] = field(default_factory=dict)
    headline: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """'maml on glyphs, conv4_stride, seed 0'; empty for one that cannot be read."""
        if not self.config:
            return ""
        return f"{self.name_of('paradigm')} on {self.name_of('dataset')}, {self.name_of('backbone')}, seed {self.seed}"

    def name_of(self, group: str) -> str:
        """Of the option that was chosen, or of the component."""
        return str(self.choices.get(group) or self.config.get(group, {}).get("name", ""))

    @property
    def seed(self) -> str:
        return str(self.config.get("seed", ""))

    @property
    def steps(self) -> str:
        """'340/600'; 'pretrain 3/20' of a stage's epochs; empty where nothing is trained."""
        if stage := self.row.get("stage"):
            return f"{stage} {self.row.get('epoch')}/{self.config.get(stage, {}).get('epochs')}"
        return f"{self.row['step']}/{self.config['trainer']['steps']}" if self.row else ""

    @property
    def far(self) -> str:
        """'step 340/600', 'pretrain epoch 3/20'"""
        stage, _, count = self.steps.rpartition(" ")
        return f"{stage} epoch {count}" if stage else f"step {count}" if count else ""

    @property
    def result(self) -> str:
        """'accuracy 86.60 ± 0.63 %'; empty until it is finished."""
        if not self.headline:
            return ""
        split = "" if self.headline["split"] == "test" else f"{self.headline['split']} "
        metric = self.headline["metric"]
        return f"{split}{METRICS[metric].words} {shown(metric, self.headline['mean'], self.headline['ci95'])}"

    @property
    def age(self) -> str:
        """'12 min'"""
        seconds = max(0, int((datetime.now(UTC) - self.created).total_seconds()))
        for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
            if seconds >= size:
                return f"{seconds // size} {unit}"
        return f"{seconds} s"


def runs_below(folder: Path) -> list[Run]:
    """Every run in `folder` and the folders in it, or `folder` itself; the newest is last."""
    return sorted(map(read_run, _folders(folder)), key=lambda run: (run.created, run.folder.path))


def is_run(folder: Path) -> bool:
    return (folder / "manifest.json").is_file()


def read_run(folder: RunFolder) -> Run:
    """One that is not as it was written is "damaged", and the reason names the file."""
    try:
        status, reason = _status(folder)
        manifest = folder.manifest()
        return Run(
            folder,
            status,
            reason,
            datetime.fromisoformat(manifest["created"]),
            folder.config(),
            folder.choices(),
            _last_row(folder),
            manifest.get("headline", {}) if status == "finished" else {},
        )
    except UserError as error:
        changed = datetime.fromtimestamp(folder.path.stat().st_mtime, UTC)
        return Run(folder, "damaged", error.problem, changed)


def _folders(folder: Path) -> Iterator[RunFolder]:
    """What is below a run, such as its evaluations, is part of it."""
    for root, folders, files in os.walk(folder):
        if "manifest.json" in files:
            folders.clear()
            yield RunFolder(Path(root))


def _status(folder: RunFolder) -> tuple[str, str]:
    """And why it failed. Asked in an order that a run which ends meanwhile cannot upset."""
    if folder.worked_on and not folder.finished:
        return "running", ""
    if folder.finished:
        return "finished", ""
    reason = folder.failure
    return ("failed", reason) if reason else ("interrupted", "")


def _last_row(folder: RunFolder) -> dict[str, Any]:
    for line in reversed(last_lines(folder.metrics, 2)):
        try:
            row = json.loads(line)
            return row | {"step": int(row["step"])}
        except (ValueError, KeyError, TypeError):  # a line is being written, or was cut off
            continue
    return {"step": 0} if folder.last.exists() else {}
