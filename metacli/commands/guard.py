"""Exceptions that a user can do something about -> a few plain lines and an exit code."""

import errno
import os
import re
import sys
from collections.abc import Callable

from metacli.errors import Interrupted, UserError
from metacli.letters import brief

_OF_FILE_SYSTEMS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
}


def guarded(work: Callable[[], int]) -> int:
    """Tracebacks are for bugs; METACLI_TRACEBACK=1 shows them for user errors too."""
    try:
        try:
            code = work()
        except SystemExit as left:  # Hydra's, after its help
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _give_up_output()  # its reader is gone: so is the reason to go on
        return 141
    except KeyboardInterrupt as stop:
        print("metacli: stopped", *getattr(stop, "__notes__", ()), sep="\n", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("METACLI_TRACEBACK") == "1":
            raise
        found = verdict(error)
        if found is None:
            raise
        if isinstance(error, OSError) and error.errno in _OF_FILE_SYSTEMS and error.filename is None:
            _give_up_output()  # which may be a file on a full disk
        code, told = found
        print(f"metacli: {told}", file=sys.stderr)
        return code


def verdict(error: Exception) -> tuple[int, str] | None:
    """Exit code and plain lines; None for a bug."""
    if isinstance(error, Interrupted):
        return error.code, str(error)
    told = error if isinstance(error, UserError) else _out_of_memory(error) or _of_the_machine(error)
    if told is None:
        from metacli.config.translate import translated

        told = translated(error)
    return None if told is None else (2, str(told))


def _give_up_output() -> None:
    """Nothing more is flushed, not even at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _of_the_machine(error: Exception) -> UserError | None:
    """Of a file system that cannot do what it was asked to, wherever that was."""
    if isinstance(error, OSError) and error.errno in _OF_FILE_SYSTEMS:
        where = f"{brief(error.filename)}: " if error.filename else ""
        return UserError(
            f"{where}{error.strerror}", "check the name, the permissions and the free space of the disk"
        )
    return None


def _out_of_memory(error: Exception) -> UserError | None:
    """Python's and numpy's, CUDA's, and that of torch on the CPU, which has no class of its own."""
    if (
        isinstance(error, MemoryError)
        or "out of memory" in str(error)
        or "can't allocate memory" in str(error)
    ):
        what = next(iter(str(error).strip().splitlines()), "there is no more")
        if wanted := re.search(
            r"(\d+) bytes", what
        ):  # of torch on the CPU, beside where in its code that was
            what = f"{int(wanted[1]) / 1e9:.0f} GB more were asked for"
        return UserError(
            f"out of memory: {what}",
            "lower trainer.chunk, trainer.meta_batch, dataset.size, backbone.width, or what an episode holds",
        )
    return None
