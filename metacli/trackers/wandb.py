"""Weights & Biases.

Offline, a run is a folder that `wandb sync` can send later; online, it is sent as it goes on.

    metacli train tracker=wandb tracker.wandb.project=shapes
    wandb sync runs/maml-glyphs/*/wandb/offline-run-*
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from metacli.trackers.tracker import Row, TrackedRun, numbers

SECONDS = 120  # to wait for the server when all is done; the rest stays in the folder for `wandb sync`


class WandB:
    where: str

    def __init__(
        self,
        *,
        mode: Literal["offline", "online"],
        project: str,
        entity: str | None,
        group: str | None,
        tags: Sequence[str],
    ) -> None:
        self.mode = mode
        self.project = project
        self.entity = entity
        self.group = group
        self.tags = tags

    def start(self, run: TrackedRun, step: int) -> int:
        os.environ["WANDB_ERROR_REPORTING"] = "false"  # to its makers, even while offline
        os.environ.setdefault("WANDB_SILENT", "true")  # the settings below come too late for its login
        import wandb

        online = self.mode == "online"
        for cut_short in run.folder.glob(f"wandb/offline-run-*-{run.id}"):
            shutil.rmtree(cut_short)  # what a killed process kept is not whole; all rows are logged again
        self.run = wandb.init(
            mode=self.mode,
            project=self.project,
            entity=self.entity,
            group=self.group,
            tags=self.tags,
            id=run.id,
            name=run.name,
            resume="allow" if online else None,
            dir=run.folder,
            config=dict(run.config),
            settings=wandb.Settings(
                silent=True,
                console="off",
                reinit="create_new",
                finish_timeout=SECONDS,
                finish_timeout_raises=True,
            ),
        )
        self.step = step
        self.where = str(self.run.url) if online else str(run.folder / "wandb")
        return self.run.step - 1 if online else 0

    def log(self, row: Row) -> None:
        self.step = row["step"]
        self.run.log(numbers(row), step=self.step)

    def finish(self, metrics: Mapping[str, float], report: Path) -> None:
        import wandb

        pictures = {path.stem: wandb.Image(str(path)) for path in sorted(report.glob("*.png"))}
        pages = {path.stem: wandb.Html(path.read_text(encoding="utf-8")) for path in report.glob("*.html")}
        self.run.log(pictures | pages, step=max(self.step, self.run.step))  # the server takes no earlier one
        self.run.summary.update(dict(metrics))

    def close(self, *, finished: bool) -> None:
        self.run.finish(exit_code=0 if finished else 1)
