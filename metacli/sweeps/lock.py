"""Locks on files that go with the process that took them."""

import fcntl
from pathlib import Path
from typing import TextIO

from metacli.files import cannot_write


def opened(path: Path) -> TextIO:
    """The file of a lock, made where it is not there. Raises UserError where it cannot be."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("a+")
    except OSError as error:
        raise cannot_write(path, error) from error


def taken(file: TextIO) -> bool:
    """Whether the lock could be had; it is kept until the file is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
