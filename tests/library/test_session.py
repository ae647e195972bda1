"""What becomes of that which ends a run before its time."""

import signal
from pathlib import Path

import pytest

from metacli import UserError
from metacli.library.session import session
from metacli.trainer import stopped


def test_ctrl_c_is_a_keyboard_interrupt_that_names_the_way_on():
    with pytest.raises(KeyboardInterrupt, match="go on with: metacli resume runs/x"), session():
        raise stopped(signal.SIGINT, 3, Path("runs/x"))


def test_sigterm_ends_the_program():
    with pytest.raises(SystemExit) as left, session():
        raise stopped(signal.SIGTERM, 3, Path("runs/x"))
    assert left.value.code == 143


def test_too_little_memory_is_told_with_the_way_out():
    with pytest.raises(UserError, match=r"^out of memory: (.|\n)*lower trainer\.chunk") as told, session():
        raise MemoryError
    assert told.value.hint.startswith("lower trainer.chunk")


def test_a_bug_stays_what_it_is():
    with pytest.raises(ZeroDivisionError), session():
        1 / 0  # noqa: B018
