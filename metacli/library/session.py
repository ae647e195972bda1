"""What surrounds a run that is started from Python: in a notebook, a thread, or a program with settings of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from metacli.commands.guard import verdict
from metacli.errors import UserError
from metacli.launched import launched

_TURN = threading.RLock()


@contextmanager
def session() -> Iterator[None]:
    """Runs take turns, since torch's settings and Hydra are the whole process's.

    Mistakes become UserErrors. A signal that stopped a run, once its state is saved, does what it does to other
    programs: SIGINT raises KeyboardInterrupt, SIGTERM SystemExit.
    """
    if launched():
        raise UserError(
            "torchrun: its processes take part in a run of the command, not of a Python program",
            "torchrun ... --no-python metacli train ..., or in Python device.processes=N",
        )
    try:
        with _TURN:
            yield
    except UserError:
        raise
    except Exception as error:
        found = verdict(error)
        if found is None:
            raise
        code, told = found
        if code == 130:
            raise KeyboardInterrupt(told) from None
        if code == 143:
            raise SystemExit(code) from error
        raise UserError(*told.split("\n", 1)) from None
