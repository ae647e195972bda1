"""What eval, resume and rerun share: a run named on the command line, and its config with changes."""

from collections.abc import Sequence
from typing import Any

from metacli.config.compose import recompose
from metacli.errors import UserError
from metacli.rundir import RunFolder, open_run


def named_run(arguments: Sequence[str], command: str) -> tuple[RunFolder, list[str]]:
    """The run, and the overrides that follow it."""
    if not arguments or "=" in arguments[0] or arguments[0].startswith("-"):
        raise UserError(f"metacli {command}: which run?", f"metacli {command} runs/NAME/ID")
    return open_run(arguments[0]), list(arguments[1:])


def changed(run: RunFolder, overrides: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """The run's config with `overrides` on top, and the options it came from."""
    return recompose(run.config(), run.overrides(), run.choices(), overrides)
