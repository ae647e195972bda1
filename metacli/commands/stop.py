"""Signals that ask a sweep to stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn


class Stopped(KeyboardInterrupt):
    """By signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def stop(number: int) -> NoReturn:
    raise Stopped(number)


@contextmanager
def signals(noted: Callable[[int], None]) -> Iterator[None]:
    """Meanwhile SIGINT and SIGTERM call `noted`, as long as nothing within has a handler of its own."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, lambda number, _: noted(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
