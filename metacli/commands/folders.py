"""--config-dir DIR of train and sweep: one folder of options more, as $METACLI_CONFIG_PATH names them.

It goes into the variable, so that errors and suggestions know its options, its components are found, and the
processes of a launcher find them, too. Hydra's own flag would reach the composing alone.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from metacli.config.extensions import VARIABLE
from metacli.errors import UserError

_FLAGS = ("--config-dir", "-cd")


def folders_named(arguments: Sequence[str]) -> list[str]:
    """The arguments without that flag. Raises UserError where there is no such folder."""
    kept: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        flag, equals, value = argument.partition("=")
        if flag in _FLAGS:
            _name(value if equals else rest.pop(0))
        else:
            kept.append(argument)
    return kept


def _name(folder: str) -> None:
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise UserError(f"--config-dir: no such folder: {path}", "name one that is shaped as configs/ is")
    os.environ[VARIABLE] = os.pathsep.join(filter(None, (os.environ.get(VARIABLE), str(path))))
