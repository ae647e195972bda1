"""Several trackers as one: each gets what it lacks, and one that fails is said once and missed by nobody."""

import json
import warnings

import pytest

from metacli.trackers.tracker import TrackedRun, leaves, numbers
from metacli.trackers.tracking import Tracking, final_metrics

ROWS = [{"step": step, "loss": 1 / step} for step in (10, 20, 30)]
REPORT = {
    "protocol": {"split": "val"},
    "metrics": {"mse": {"mean": 0.5, "ci95": 0.25}, "r2": {"mean": None, "ci95": None}},
}


class Notebook:
    """Holds rows up to `held`; fails at the call named `fails`."""

    def __init__(self, held=0, fails=""):
        self.where = "here"
        self.held = held
        self.fails = fails
        self.calls = []

    def start(self, run, step):
        self._note("start", run.name, step)
        return self.held

    def log(self, row):
        self._note("log", row["step"])

    def finish(self, metrics, report):
        self._note("finish", metrics)

    def close(self, *, finished):
        self._note("close", finished)

    def _note(self, what, *values):
        self.calls.append((what, *values))
        if what == self.fails:
            raise OSError(28, "No space left on device")


@pytest.fixture
def run(tmp_path):
    return TrackedRun(tmp_path / "1a2b", {"run": {"name": "mine"}})


@pytest.fixture
def report(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    return tmp_path


def test_every_tracker_hears_everything_in_order(run, report):
    one, other, said = Notebook(), Notebook(), []
    with Tracking({"one": one, "other": other}, said.append) as tracking:
        tracking.start(run, [])
        for row in ROWS:
            tracking.log(row)
        tracking.finish(report)
    assert one.calls == other.calls
    assert one.calls == [
        ("start", "mine/1a2b", 0),
        *(("log", row["step"]) for row in ROWS),
        ("finish", {"val_mse": 0.5, "val_mse_ci95": 0.25}),
        ("close", True),
    ]
    assert said == ["tracker one: here", "tracker other: here"]


def test_a_run_that_goes_on_gives_each_tracker_what_it_lacks(run):
    trackers = {"nothing": Notebook(), "a part": Notebook(held=10), "more": Notebook(held=25)}
    with Tracking(trackers, print) as tracking:
        tracking.start(run, ROWS[:2])
        tracking.log(ROWS[2])
    logged = {name: [call[1] for call in t.calls if call[0] == "log"] for name, t in trackers.items()}
    assert logged == {"nothing": [10, 20, 30], "a part": [20, 30], "more": [30]}
    assert all(tracker.calls[0] == ("start", "mine/1a2b", 20) for tracker in trackers.values())


@pytest.mark.parametrize("fails", ["start", "log", "finish", "close"])
def test_a_tracker_that_fails_is_said_once_and_the_others_go_on(fails, run, report):
    broken, sound, said = Notebook(fails=fails), Notebook(), []
    with Tracking({"broken": broken, "sound": sound}, said.append) as tracking:
        tracking.start(run, [])
        for row in ROWS:
            tracking.log(row)
        tracking.finish(report)
    failures = [line for line in said if "failed" in line]
    problem = "OSError: [Errno 28] No space left on device"
    assert failures == [f"tracker broken failed and is left out from now on: {problem}"]
    assert [call[0] for call in broken.calls].count(fails) == (2 if fails == "close" else 1)
    assert broken.calls[-1][0] == "close"
    assert [call[0] for call in sound.calls] == ["start", "log", "log", "log", "finish", "close"]


def test_an_error_without_words_is_named_by_its_kind(run):
    class Odd(Notebook):
        def log(self, row):
            raise KeyError

    said = []
    with Tracking({"odd": Odd()}, said.append) as tracking:
        tracking.start(run, ROWS)
    assert said[-1] == "tracker odd failed and is left out from now on: KeyError"


def test_what_lies_behind_an_error_is_said_in_a_line(run):
    class Wrapped(Notebook):
        def log(self, row):
            try:
                raise OSError(28, "No space left on device")
            except OSError as error:
                raise RuntimeError("(raised as a result of a flush)\nINSERT " + 99 * "? ") from error

    said = []
    with Tracking({"wrapped": Wrapped()}, said.append) as tracking:
        tracking.start(run, ROWS)
    assert said[-1].endswith("from now on: OSError: [Errno 28] No space left on device")


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_a_run_that_fails_closes_its_trackers_as_not_finished(error, run):
    tracker = Notebook()

    def fail():
        with Tracking({"one": tracker}, print) as tracking:
            tracking.start(run, [])
            raise error

    with pytest.raises(error):
        fail()
    assert tracker.calls[-1] == ("close", False)


def test_a_tracker_that_was_never_started_is_not_closed():
    tracker = Notebook()
    with Tracking({"one": tracker}, print):
        pass
    assert tracker.calls == []


def test_what_libraries_warn_of_is_not_the_users_concern(run):
    class Old(Notebook):
        def log(self, row):
            warnings.warn("this will go away", DeprecationWarning, stacklevel=1)

    said = []
    with Tracking({"old": Old()}, said.append) as tracking:
        tracking.start(run, ROWS)
    assert said == ["tracker old: here"]


def test_final_metrics_are_named_by_their_split():
    assert final_metrics(REPORT) == {"val_mse": 0.5, "val_mse_ci95": 0.25}


def test_numbers_are_what_can_be_plotted():
    assert numbers({"step": 3, "loss": 0.5, "n": 2, "note": "x", "ok": True, "r2": None}) == {
        "loss": 0.5,
        "n": 2,
    }


def test_leaves_have_dotted_names():
    assert dict(leaves({"a": {"b": {"c": 1}, "d": [2]}, "e": None})) == {"a.b.c": 1, "a.d": [2], "e": None}


STAGED = [
    {"stage": "pretrain", "epoch": 1, "step": 7, "loss": 3.0, "val_accuracy": 0.5},
    {"stage": "pretrain", "epoch": 2, "step": 14, "loss": 2.0, "val_accuracy": 0.6},
    {"step": 10, "loss": 1.0},
    {"step": 20, "loss": 0.5},
]


class Keeper(Notebook):
    def log(self, row):
        self.calls.append(row)


@pytest.mark.parametrize("held", [0, 1, 2, 3, 4])
def test_steps_go_on_through_the_stages_and_each_row_comes_once_however_often_a_run_is_resumed(held, run):
    told = [
        {"pretrain_epoch": 1, "pretrain_loss": 3.0, "pretrain_val_accuracy": 0.5, "step": 7},
        {"pretrain_epoch": 2, "pretrain_loss": 2.0, "pretrain_val_accuracy": 0.6, "step": 14},
        {"step": 24, "loss": 1.0},
        {"step": 34, "loss": 0.5},
    ]
    steps = [0, *(row["step"] for row in told)]
    keeper = Keeper(held=steps[held])
    with Tracking({"keeper": keeper}, print) as tracking:
        tracking.start(run, STAGED[:held])
        for row in STAGED[held:]:
            tracking.log(row)
    assert keeper.calls[0] == ("start", "mine/1a2b", steps[held])
    assert keeper.calls[1:-1] == told[held:]
