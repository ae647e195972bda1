"""What is asked of wandb, by a stand-in: online needs a server."""

import os
import sys
from types import SimpleNamespace

import pytest

from metacli.trackers.tracker import TrackedRun
from metacli.trackers.tracking import Tracking
from metacli.trackers.wandb import WandB

ROWS = [{"step": step, "loss": 1 / step} for step in (10, 20, 30, 40)]


@pytest.fixture
def asked(monkeypatch):
    """Arguments of wandb.init, and the rows that its run got. `held`: steps that the server has of it."""
    found = SimpleNamespace(held=0, logged=[])

    def init(**arguments):
        vars(found).update(arguments)
        return SimpleNamespace(
            step=found.held,
            url="https://there/run",
            log=lambda values, step: found.logged.append(step),
            finish=lambda exit_code: vars(found).update(exit_code=exit_code),
        )

    module = SimpleNamespace(init=init, Settings=lambda **settings: SimpleNamespace(**settings))
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    return found


@pytest.fixture
def track(tmp_path):
    def run(mode, history, rows):
        tracker = WandB(mode=mode, project="shapes", entity="us", group=None, tags=["a"])
        said = []
        with Tracking({"wandb": tracker}, said.append) as tracking:
            tracking.start(TrackedRun(tmp_path, {"run": {"name": "maml"}}), history)
            for row in rows:
                tracking.log(row)
        return said

    return run


def test_offline_is_offline(asked, track, tmp_path):
    assert track("offline", [], ROWS) == [f"tracker wandb: {tmp_path}/wandb"]
    assert (asked.mode, asked.resume, asked.id) == ("offline", None, tmp_path.name)
    assert os.environ["WANDB_ERROR_REPORTING"] == "false"
    assert asked.logged == [10, 20, 30, 40]
    assert asked.exit_code == 0


def test_online_a_run_goes_on_where_the_server_has_it(asked, track, tmp_path):
    asked.held = 31  # the step after the last one that it has
    assert track("online", ROWS[:2], ROWS[2:]) == ["tracker wandb: https://there/run"]
    assert (asked.mode, asked.resume, asked.id) == ("online", "allow", tmp_path.name)
    assert asked.logged == [40]


def test_online_the_server_gets_the_rows_that_it_lacks(asked, track):
    asked.held = 11
    track("online", ROWS[:3], ROWS[3:])
    assert asked.logged == [20, 30, 40]


def test_online_a_new_run_gets_all_rows(asked, track):
    track("online", [], ROWS)
    assert asked.logged == [10, 20, 30, 40]


def test_what_is_sent_at_the_end_is_not_waited_for_without_end(asked, track):
    track("online", [], ROWS)
    assert 0 < asked.settings.finish_timeout <= 600
    assert asked.settings.finish_timeout_raises
