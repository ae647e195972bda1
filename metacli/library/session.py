"""What surrounds a run that is started from Python: in a notebook, a thread, or a program with settings of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from metacli.commands.guard import verdict
from metacli.errors import UserError

_TURN = threading.RLock()


@contextmanager
def session() -> Iterator[None]:
    """Runs take turns, since torch's settings and Hydra are the whole process's.

    Mistakes become UserErrors. A signal that stopped a run, once its state is saved, does what it does to other
    programs: SIGINT raises KeyboardInterrupt, SIGTERM SystemExit.
    """
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
        if code > 128:
            raise SystemExit(code) from error
        raise UserError(*told.split("\n", 1)) from None
