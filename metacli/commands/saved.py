"""What eval, resume and rerun share: a run named on the command line, and its config with changes."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from metacli.config.compose import composing
from metacli.config.origins import require_origins
from metacli.config.recompose import Recomposed, recompose
from metacli.config.validate import validate
from metacli.errors import UserError
from metacli.rundir import RunFolder, open_run


def named_run(arguments: Sequence[str], command: str) -> tuple[RunFolder, list[str]]:
    """The run, and the overrides that follow it."""
    path = arguments[0] if arguments else ""
    if not path or path.startswith("-") or ("=" in path and not os.path.isdir(path)):
        raise UserError(f"{command}: which run?", f"metacli {command} runs/NAME/ID")
    return trained_run(path, f"metacli {command}"), list(arguments[1:])


def trained_run(path: str, instead: str) -> RunFolder:
    """The run in a folder. Raises UserError where there is none, with `instead` where it is an evaluation of one."""
    run = open_run(path)
    if run.evaluates:
        raise UserError(f"{path}: an evaluation, not a run", f"{instead} {run.evaluates}")
    require_code(run)
    return run


def changed(run: RunFolder, values: Mapping[str, Any], overrides: Sequence[str]) -> Recomposed:
    """`values`, which are those of the run, with `overrides` on top."""
    with composing(overrides):
        values = validate(dict(values)).plain()  # with the keys that came after it was saved
        return recompose(values, run.overrides(), run.choices(), overrides)


def as_it_ran(run: RunFolder) -> dict[str, Any]:
    """The run's values with the device, threads and chunk that "auto" stood for."""
    values, manifest = run.config(), run.manifest()
    values["device"] |= {"name": manifest["device"], "threads": manifest["threads"]}
    values["trainer"] |= {"chunk": manifest["chunk"]}
    return values


def require_code(run: RunFolder) -> None:
    """Raises UserError where components that the run had from elsewhere are not here."""
    require_origins(run.manifest().get("code", {}))
