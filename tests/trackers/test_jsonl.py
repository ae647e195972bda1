"""The file of lines: shared by runs, and none of them harmed by one that was cut short."""

import json

import pytest

from metacli.trackers.jsonl import Jsonl
from metacli.trackers.tracker import TrackedRun
from metacli.trackers.tracking import Tracking

ROWS = [{"step": step, "loss": 1 / step} for step in (10, 20, 30)]


@pytest.fixture
def file(tmp_path):
    return tmp_path / "new" / "all.jsonl"


@pytest.fixture
def log(file, tmp_path):
    def run(name, history, rows):
        with Tracking({"jsonl": Jsonl(file=str(file))}, print) as tracking:
            tracking.start(TrackedRun(tmp_path / name, {"run": {"name": "maml"}, "seed": 1}), history)
            for row in rows:
                tracking.log(row)

    return run


def steps(file, name):
    lines = [json.loads(text) for text in file.read_text().splitlines() if text.endswith("}")]
    return [line.get("step", line["kind"]) for line in lines if line["run"] == f"maml/{name}"]


def test_runs_share_a_file(file, log):
    log("one", [], ROWS[:2])
    log("two", [], ROWS)
    log("one", ROWS[:1], ROWS[1:])
    assert steps(file, "one") == steps(file, "two") == ["config", 10, 20, 30]


def test_a_line_that_was_cut_short_is_written_again(file, log):
    log("one", [], ROWS[:2])
    with file.open("r+") as opened:
        opened.truncate(file.stat().st_size - 9)
    log("one", ROWS[:2], ROWS[2:])
    assert steps(file, "one") == ["config", 10, 20, 30]
    assert sum(not text.endswith("}") for text in file.read_text().splitlines()) == 1


def test_a_line_of_another_program_is_passed_over(file, log):
    file.parent.mkdir()
    file.write_text('[1, 2]\n"text"\n{"run": "maml/two", "kind": "row"}\nno json\n')
    log("one", [], ROWS[:1])
    assert file.read_text().count('"step": 10') == 1


def test_a_line_says_when(file, log):
    log("one", [], ROWS[:1])
    assert all("T" in json.loads(text)["time"] for text in file.read_text().splitlines())
