"""metacli sweep KEY=A,B ...: a run for every combination of values, and a table over them.

The whole grid is checked before the first job starts, and a job that fails does not keep the others from running.
One job after another, or through a launcher of Hydra's: hydra/launcher=joblib hydra.launcher.n_jobs=4.

metacli sweep --resume DIR: what is done stays, what was interrupted goes on, what failed is done anew.
"""

import json
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from metacli.commands.job import Job
from metacli.commands.planned import Plan, chosen_launcher, is_launcher, planned
from metacli.commands.stop import signals, stop
from metacli.commands.work import work
from metacli.errors import UserError
from metacli.files import user_path
from metacli.launched import launched
from metacli.sweeps.folder import SweepFolder, create, open_sweep
from metacli.sweeps.job import JobFolder
from metacli.sweeps.table import write_table


def run(arguments: list[str]) -> int:
    _check_alone()
    if not any(text.partition("=")[0] == "--resume" for text in arguments):
        return start(planned(["-m", *arguments]))
    folder, launchers = _to_resume(arguments)
    sweep = open_sweep(folder)
    return _carry_out(replace(sweep, launcher=chosen_launcher(launchers)) if launchers else sweep)


def start(plan: Plan) -> int:
    """A new sweep; nothing where there are no jobs, as with --help."""
    if not plan.jobs:
        return 0
    _check_alone()
    _check_together(plan.jobs)
    jobs = [
        {"overrides": list(job.overrides), "choices": job.choices, "config": job.config.plain()}
        for job in plan.jobs
    ]
    return _carry_out(create(plan.jobs[0].root / "sweeps", _name(plan.jobs), jobs, plan.launcher))


def _check_alone() -> None:
    if launched():
        raise UserError(
            "a sweep is not for torchrun, whose processes all take part in one run",
            "metacli sweep device.processes=N shares each run over N processes of this machine",
        )


def _to_resume(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    """The folder, and overrides that choose another launcher."""
    rest = [
        part
        for text in arguments
        for part in (text.split("=", 1) if text.startswith("--resume=") else [text])
    ]
    place = rest.index("--resume")
    folder = next(iter(rest[place + 1 :]), "")
    if not folder or folder.startswith("-") or is_launcher(folder):
        raise UserError("--resume: which sweep?", "metacli sweep --resume runs/sweeps/NAME")
    launchers = rest[:place] + rest[place + 2 :]
    for text in launchers:
        if not is_launcher(text):
            raise UserError(
                f"--resume takes no overrides but a launcher: {text}", "for other settings start a new sweep"
            )
    return user_path(folder), launchers


def _check_together(jobs: Sequence[Job]) -> None:
    """What only shows when all jobs of a sweep are seen together."""
    roots = {job.root: None for job in jobs}
    if len(roots) > 1:
        raise UserError(f"run.root={','.join(map(str, roots))}: a sweep has one folder", "give one run.root")
    seen: dict[str, int] = {}
    for number, job in enumerate(jobs, 1):
        config = job.config.plain()
        config["run"] = config["run"]["init_from"]
        twin = seen.setdefault(json.dumps(config, sort_keys=True), number)
        if twin != number:
            raise UserError(
                f"jobs {twin} and {number} are the same: {' '.join(job.overrides)}", "give each value once"
            )


def _name(jobs: Sequence[Job]) -> str:
    """The run.name that was asked for, if it is one."""
    asked = any(text.lstrip("+").startswith("run.name=") for text in jobs[0].overrides)
    names = {job.config.run.name for job in jobs}
    return names.pop() if asked and len(names) == 1 else ""


def _carry_out(sweep: SweepFolder) -> int:
    """Whatever is left to do, then the table. The highest exit code of a job, or 128 + n for signal n."""
    with sweep.locked(), signals(stop):
        jobs = [job for job in sweep.jobs if job.state != "finished"]
        done = f", {len(sweep.jobs) - len(jobs)} done" if len(jobs) < len(sweep.jobs) else ""
        print(f"sweep {sweep.path}: {len(sweep.jobs)} jobs{done}", flush=True)
        code = 0
        try:
            code = _worked(sweep, jobs)
        except KeyboardInterrupt as stopped:
            number = signal.Signals(getattr(stopped, "number", signal.SIGINT))
            print(f"metacli: stopped by {number.name}", file=sys.stderr)
            code = 128 + number
        if code:
            print(f"go on with: metacli sweep --resume {sweep.path}", file=sys.stderr)
            return code
        print(f"\n{write_table(sweep)}\n\ntable {sweep.path / 'table.md'}", flush=True)
    return max(_code(job) for job in sweep.jobs)


def _worked(sweep: SweepFolder, jobs: Sequence[JobFolder]) -> int:
    """0, or the exit code of a signal that stopped the job under way."""
    if sweep.launcher and jobs:
        from metacli.commands.launch import launch

        launch(sweep, jobs)
        return 0
    for job in jobs:
        print(f"{job.title}: {' '.join(job.own)}", flush=True)
        code = work(job)
        if code >= 128:
            return code
    return 0


def _code(job: JobFolder) -> int:
    failure = job.failure()
    if job.state == "finished":
        return 0
    return failure.code if job.state == "failed" and failure else 1
