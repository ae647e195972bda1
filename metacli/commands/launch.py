"""The jobs of a sweep through one of Hydra's launchers: in processes of this machine, or of a cluster.

A process gets the number of a job, and finds the rest in the sweep's folder; there it leaves what comes out of the
job, and what it prints.
"""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import compose, initialize
from hydra._internal.callbacks import Callbacks
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext

from metacli.commands.follow import followed
from metacli.commands.stop import Stopped, signals, stop
from metacli.commands.task import Task, this_process
from metacli.config.compose import base_version
from metacli.errors import UserError
from metacli.sweeps.folder import SweepFolder
from metacli.sweeps.job import JobFolder


def launch(sweep: SweepFolder, jobs: Sequence[JobFolder]) -> None:
    """Until all jobs have ended. Raises Stopped by a signal: a first has the jobs under way save and end."""
    sweep.stop.unlink(missing_ok=True)
    asked: list[int] = []

    def noted(number: int) -> None:
        if asked:
            stop(number)
        asked.append(number)
        os.write(2, b"stopping: the jobs under way save and end; once more to stop now\n")
        sweep.stop.touch()
        for job in jobs:
            job.interrupt()

    with initialize(config_path=None, **base_version()):
        launcher = _launcher(sweep)
        with signals(noted), _children_hear_no_ctrl_c(), followed(jobs):
            try:
                launcher.launch([[f"job={job.number}"] for job in jobs], initial_job_idx=0)
            except Exception as error:  # the launcher's own, or a process died; a job's own are in its folder
                first, *_ = str(error).splitlines() or [""]
                print(f"metacli: the launcher: {type(error).__name__}: {first}", file=sys.stderr)
                while any(job.worked_on for job in jobs):
                    time.sleep(0.5)
    if asked:
        raise Stopped(asked[0])


def _launcher(sweep: SweepFolder) -> Launcher:
    """Hydra's, which hands `Task` to processes. Their config is not the user's: that is in the sweep's folder."""
    values: dict[str, Any] = dict(sweep.launcher or {})
    target = values.pop("_target_")
    plugins = Plugins.instance()  # fills the store
    options = ConfigStore.instance().repo["hydra"]["launcher"]
    known = {found.node._target_: file.removesuffix(".yaml") for file, found in options.items()}
    if target not in known:
        raise UserError(
            f"{sweep.path}: its launcher, {target}, is not installed",
            "pip install 'metacli[launchers]', or go on with another: hydra/launcher=basic",
        )
    if _names_code(values):
        raise UserError(f"{sweep.path}: the values of its launcher name code", "sweep anew")
    node = {
        "defaults": [
            {"override hydra/launcher": known[target]},
            {"override hydra/job_logging": "none"},
            {"override hydra/hydra_logging": "none"},
        ],
        "job": 0,
        "hydra": {
            "launcher": values,
            "sweep": {"dir": str(sweep.path.absolute()), "subdir": "."},
            "output_subdir": None,
            "job": {"name": sweep.path.name},
        },
    }
    ConfigStore.instance().store(name="metacli_sweep", node=node)
    composed = compose("metacli_sweep", return_hydra_config=True)
    context = HydraContext(GlobalHydra.instance().config_loader(), Callbacks())
    return plugins.instantiate_launcher(context, Task(sweep.path.absolute(), this_process()), composed)


def _names_code(values: Any) -> bool:
    """Whether Hydra would import something that a file names."""
    if isinstance(values, dict):
        return "_target_" in values or any(map(_names_code, values.values()))
    return isinstance(values, list) and any(map(_names_code, values))


@contextmanager
def _children_hear_no_ctrl_c() -> Iterator[None]:
    """Ctrl-C goes to all processes of a terminal, and a launcher's die of it before their jobs have been saved.

    They inherit that it is blocked; a thread hands it to this process, for which it is meant.
    """
    over = threading.Event()

    def relay() -> None:
        while not over.wait(0.2):
            if signal.SIGINT in signal.sigpending():
                signal.sigwait({signal.SIGINT})
                _thread.interrupt_main()

    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
