"""One job of a sweep: from wherever it stands to its report."""

import os
import sys
import traceback
from collections.abc import Callable

from metacli.commands.checked import checked
from metacli.commands.guard import verdict
from metacli.commands.saved import as_it_ran, require_code
from metacli.files import write_atomic
from metacli.rundir import open_run
from metacli.sweeps.job import JobFolder


def work(job: JobFolder, stopped: Callable[[], bool] = lambda: False) -> int:
    """Skip a job that is done, go on with one that was interrupted, begin one that failed or was never begun.

    The exit code: 0, that of a failure, which is kept in the job's folder as well, or 128 + n for signal n.
    stopped: whether to leave the job alone; asked once the job is ours.
    """
    with job.locked():
        if stopped() or job.report() is not None:
            return 0
        try:
            _go_on(job)
        except BrokenPipeError:  # nobody reads what we say: no failure of the job's
            raise
        except Exception as error:
            return _told(job, error)
    return 0


def _go_on(job: JobFolder) -> None:
    job.clear()
    run = job.current()
    if run is None:
        config, notes = checked(job.config, job.overrides)

        from metacli import api  # torch from here on

        api.train(config, job.path, overrides=job.overrides, choices=job.choices, notes=notes)
    else:
        found = open_run(run.path)
        require_code(found)
        config, _ = checked(as_it_ran(found), [])

        from metacli import api

        api.resume(found, config)


def _told(job: JobFolder, error: Exception) -> int:
    """Say what went wrong, and keep it unless it was a signal."""
    if os.environ.get("METACLI_TRACEBACK") == "1":
        traceback.print_exc()
    found = verdict(error)
    if found is None:  # a bug, which need not be one of the other jobs
        written = job.path / "traceback.txt"
        write_atomic(written, traceback.format_exc())
        found = 1, f"{type(error).__name__}: {error}\ntraceback: {written}"
    code, told = found
    if code >= 128:
        told = told.splitlines()[0]  # how to go on is up to the sweep
    else:
        job.fail(code, told)
    print(f"metacli: {told}", file=sys.stderr, flush=True)
    return code
