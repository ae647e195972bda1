"""One run or evaluation to be: checked, and carried out by whoever asks for it, be it a command or metacli.library."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacli.commands.checked import check_new_run, checked
from metacli.config.schema import Config
from metacli.files import user_path
from metacli.rundir import RunFolder


@dataclass(frozen=True)
class Job:
    """The checked config and where it came from. notes: what to say of settings without effect."""

    config: Config
    overrides: Sequence[str]
    choices: Mapping[str, str]
    notes: Sequence[str]

    @property
    def root(self) -> Path:
        return user_path(self.config.run.root)

    @property
    def parent(self) -> Path:
        """Where its run goes, unless it is part of a sweep."""
        return self.root / self.config.run.name


def new_job(
    values: dict[str, Any], overrides: Sequence[str], choices: Mapping[str, str], *, sweeps: bool = False
) -> Job:
    """A run to be. Raises UserError, before torch is imported. sweeps: whether it is part of a sweep."""
    config, notes = checked(values, overrides)
    job = Job(config, overrides, choices, notes)
    check_new_run(config, job.root / "sweeps" if sweeps else job.parent)
    return job


def train(job: Job) -> RunFolder:
    from metacli import api  # torch from here on

    return api.train(job.config, job.parent, overrides=job.overrides, choices=job.choices, notes=job.notes)


def evaluate(trained: RunFolder, job: Job) -> RunFolder:
    from metacli import api

    return api.evaluate_run(
        trained, job.config, overrides=job.overrides, choices=job.choices, notes=job.notes
    )
