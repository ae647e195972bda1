"""What a run says while it works: how fast it is, how long it will take, and to whom."""

import sys

import pytest

from metacli import console
from metacli.console import STEPS, Console


@pytest.fixture
def clock(monkeypatch):
    """Set the time with clock(seconds)."""
    now = [0.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return lambda seconds: now.__setitem__(0, float(seconds))


def test_the_speed_is_that_of_training_and_the_time_left_counts_validations_too(clock, capsys):
    row = {"loss": 0.5, "val_accuracy": 0.75, "val_ci95": 0.02}
    with Console(live=False).training(10, 0, STEPS) as display:
        clock(2)
        display.step(1)
        clock(10)  # of which a validation took eight
        display.update(1, row, tasks=8)
        clock(12)
        display.step(2)
        display.update(2, {"loss": 0.25}, tasks=8)
    assert capsys.readouterr().out.splitlines() == [
        "step 1/10  loss 0.5000  val 75.00 ± 2.00 %  4 tasks/s  1:30 left",
        "step 2/10  loss 0.2500  4 tasks/s  0:48 left",
    ]


@pytest.mark.parametrize(
    ("terminal", "kind", "live"), [(True, "xterm", True), (True, "dumb", False), (False, "xterm", False)]
)
def test_lines_are_redrawn_on_a_terminal_that_can(terminal, kind, live, monkeypatch):
    monkeypatch.setenv("TERM", kind)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal, raising=False)
    assert Console().live is live
