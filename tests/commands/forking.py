"""Starts metacli commands as processes of their own, forked from one that has done the slow imports already. Their
pictures are blank: to draw one takes longer than to train in a test, and tests/report looks at them.

A request is a line of JSON on standard input, the answer one on standard output:
{"arguments", "folder", "environment", "output", "terminal", "room"} -> the process's id; {"poll": id} -> its exit code,
or null. room: how many files may be opened for writing until the disk is full; null for any number. Beside
`output`.out and .err a process leaves `output`.modules, the names of the modules that it had imported.

    python forking.py MODULE ...        modules to import beforehand
"""

import errno
import importlib
import json
import os
import sys
import traceback
import warnings
from base64 import b64decode
from typing import BinaryIO

BLANK = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)
BUG = 70  # exit code of a command that raised what it should not


def serve(modules: list[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    if figure := sys.modules.get("matplotlib.figure"):
        figure.Figure.savefig = _blank
    os.fsync = lambda handle: None  # as in tests/conftest.py
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(_poll(request["poll"]) if "poll" in request else _fork(request)), flush=True)


def _blank(figure: object, file: BinaryIO, **_: object) -> None:
    file.write(BLANK)


def _poll(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _fork(request: dict) -> int:
    if pid := os.fork():
        return pid
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    output = request["output"]
    for number, path in ((1, request["terminal"] or f"{output}.out"), (2, f"{output}.err")):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(request["folder"])
    os.environ.update(request["environment"])
    if request["room"] is not None:
        _limit(request["room"])
    code = BUG
    try:
        code = _command(request["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        with open(f"{output}.modules", "w", encoding="utf-8") as file:
            file.write("\n".join(sys.modules))
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _limit(room: int) -> None:
    """Let `room` files be opened for writing below the working folder; then every attempt fails."""
    here = os.getcwd() + os.sep
    opened = 0

    def watch(event: str, arguments: tuple) -> None:
        nonlocal opened
        if event != "open" or isinstance(arguments[0], int):
            return
        path, _, flags = arguments
        if flags & (os.O_WRONLY | os.O_RDWR) and os.path.abspath(os.fsdecode(path)).startswith(here):
            opened += 1
            if opened > room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    sys.addaudithook(watch)


def _command(arguments: list[str]) -> int:
    from metacli.cli import run

    warnings.simplefilter("error")
    try:
        return run(arguments)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else BUG


if __name__ == "__main__":
    serve(sys.argv[1:])
