"""metacli train: compose with Hydra, check, train, evaluate, report.

Hydra's own flags work: -m, --cfg job, --info, --config-dir, --help. Hydra only composes: every job of a sweep is
checked before the first one starts, and a job that fails does not keep the others from running.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from metacli.commands.checked import check_new_run, checked
from metacli.commands.flags import flags_first
from metacli.commands.guard import guarded
from metacli.config.compose import base_version, chosen, config_folder, register, values_of
from metacli.config.schema import Config
from metacli.errors import UserError


@dataclass(frozen=True)
class Job:
    """One run to be: its checked config, where it came from and where it goes."""

    config: Config
    parent: Path
    overrides: Sequence[str]
    choices: dict[str, str]
    notes: Sequence[str]

    def train(self) -> int:
        from metacli import api  # torch from here on

        api.train(self.config, self.parent, overrides=self.overrides, choices=self.choices, notes=self.notes)
        return 0


def run(arguments: list[str]) -> int:
    jobs = _jobs(flags_first(arguments))
    if len(jobs) == 1:
        return jobs[0].train()
    worst = 0
    for number, job in enumerate(jobs, 1):
        print(f"job {number}/{len(jobs)}: {' '.join(_own(job, jobs))}", flush=True)
        code = guarded(job.train)
        if code >= 128:  # stopped by a signal
            return code
        worst = max(worst, code)
    return worst


def _jobs(arguments: list[str]) -> list[Job]:
    """What the command line asks for: one job, several with -m, none for --help and its like."""
    register()
    for argument in arguments:
        if argument.lstrip("+").startswith(("hydra.run.", "hydra.sweep.")):
            raise UserError(
                f"{argument}: Hydra makes no folders here", "runs go to run.root=DIR run.name=NAME"
            )
    jobs: list[Job] = []
    failures: list[Exception] = []
    started = time.strftime("%Y%m%d-%H%M%S")

    def plan(composed: DictConfig) -> None:
        try:
            jobs.append(_job(composed, started))
        except Exception as error:
            failures.append(error)  # kept from Hydra, which would print it in its own way

    with TemporaryDirectory(prefix="metacli-") as scratch, _exceptions_reach_us():
        # Hydra makes folders for a sweep before anything is known to be good.
        sys.argv = ["metacli train", *arguments, f'hydra.sweep.dir="{scratch}"']
        hydra.main(config_path=str(config_folder()), config_name="config", **base_version())(plan)()
    if failures:
        raise failures[0]
    return jobs


def _job(composed: DictConfig, started: str) -> Job:
    runtime = HydraConfig.get()
    overrides = list(runtime.overrides.task)
    config, notes = checked(values_of(composed), overrides)
    parent = Path(config.run.root).expanduser() / config.run.name
    if runtime.mode == RunMode.MULTIRUN:
        parent = Path(config.run.root).expanduser() / "sweeps" / started / str(runtime.job.num)
    check_new_run(config, parent)
    return Job(config, parent, overrides, chosen(DictConfig({"hydra": runtime})), notes)


def _own(job: Job, jobs: Sequence[Job]) -> list[str]:
    """The overrides that tell a job from the others of its sweep."""
    return [text for text in job.overrides if any(text not in other.overrides for other in jobs)]


@contextmanager
def _exceptions_reach_us() -> Iterator[None]:
    """Hydra prints exceptions and exits, unless this variable is set."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        os.environ.pop("HYDRA_FULL_ERROR")
        if before is not None:
            os.environ["HYDRA_FULL_ERROR"] = before
