"""A run that is stopped and resumed ends with the bits of one that was not."""

import json
import re
import shutil
import signal
import time
from pathlib import Path

import pytest

from metacli.checkpoint import load_state
from metacli.rundir import RunFolder

BITS = ["metrics.jsonl", "checkpoints/best.safetensors", "report/predictions.csv"]


@pytest.fixture
def begin(forks, settings, tmp_path):
    """Start a run, and return it with its process once its history has some lines, or it begins with the first step."""
    processes = []

    def start(*overrides: str, lines: int):
        process = forks.start("train", *settings, *overrides, folder=tmp_path)
        processes.append(process)
        while True:
            assert process.poll() is None, process.wait()
            begun = list((tmp_path / "runs").rglob("last.pt"))
            if begun and not lines:
                return begun[0].parent.parent, process
            histories = list((tmp_path / "runs").rglob("metrics.jsonl"))
            if histories and histories[0].read_text().count("\n") >= lines:
                return histories[0].parent, process
            time.sleep(0.002)

    yield start
    for process in processes:
        if process.poll() is None:
            process.signal(signal.SIGKILL)
            process.wait()


def assert_same(run: Path, other: Path) -> None:
    for name in BITS:
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    facts, others = RunFolder(run).manifest(), RunFolder(other).manifest()
    assert facts["result_hash"] == others["result_hash"]
    assert facts["episode_hash"] == others["episode_hash"]


@pytest.mark.parametrize("lines", [1, 5])
def test_a_killed_run_goes_on_to_the_same_bits(lines, begin, runs, finished):
    run, process = begin(lines=lines)
    process.signal(signal.SIGKILL)
    assert process.wait().code == -signal.SIGKILL
    assert not (run / "report" / "report.json").exists()
    done = runs("resume", str(run)).succeeded()
    step = int(re.search(r"resumed after step (\d+)", done.out)[1])
    assert step in (0, 10, 20, 30)  # where it was saved: at the start and at each validation
    assert_same(run, finished)


def test_a_run_may_be_killed_again_and_again(begin, forks, runs, finished, tmp_path):
    run, process = begin(lines=2)
    process.signal(signal.SIGKILL)
    process.wait()
    for line in (4, 7):
        again = forks.start("resume", str(run), folder=tmp_path)
        while again.poll() is None and (run / "metrics.jsonl").read_text().count("\n") < line:
            time.sleep(0.002)
        if again.poll() is None:
            again.signal(signal.SIGKILL)
        again.wait()
    runs("resume", str(run)).succeeded()
    assert_same(run, finished)


def test_what_a_method_keeps_from_task_to_task_goes_on_to_the_same_bits(begin, runs, settings, tmp_path):
    reptile = ("paradigm=reptile", "paradigm.inner.eval_steps=3", "trainer.chunk=2")
    run, process = begin(*reptile, lines=2)
    process.signal(signal.SIGKILL)
    process.wait()
    assert "resumed after step" in runs("resume", str(run)).succeeded().out
    (tmp_path / "whole").mkdir()
    runs("train", *settings, *reptile, folder=tmp_path / "whole").succeeded()
    (whole,) = (tmp_path / "whole" / "runs" / "reptile-imagefolder").iterdir()
    assert_same(run, whole)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_the_step_under_way_and_the_run_goes_on_to_the_same_bits(
    number, code, begin, runs, finished, tmp_path
):
    run, process = begin(lines=3)
    time.sleep(0.03)  # on to a step whose loss belongs to no line yet
    process.signal(number)
    done = process.wait()
    assert done.code == code
    assert "Traceback" not in done.err
    step = int(re.search(rf"metacli: stopped by {number.name} after step (\d+)", done.err)[1])
    told = [
        "stopping after this step; once more to stop now",
        f"metacli: stopped by {number.name} after step {step}",
        f"go on with: metacli resume {run.relative_to(tmp_path)}",
    ]
    assert [line.strip() for line in done.err.splitlines()] == told
    assert load_state(run / "checkpoints" / "last.pt")["progress"]["step"] == step
    assert not (run / "report").exists()
    assert f"resumed after step {step}\n" in runs("resume", str(run)).succeeded().out
    assert_same(run, finished)


def test_a_second_signal_stops_at_once(begin, tmp_path):
    run, process = begin("trainer.meta_batch=20000", "trainer.val_every=1", lines=0)
    time.sleep(1)  # in the middle of a step of many seconds
    process.signal(signal.SIGINT)
    while "once more to stop now" not in process.output.with_suffix(".err").read_text():
        assert process.poll() is None
        time.sleep(0.05)  # of two signals that meet within one operation, Python sees one
    started = time.monotonic()
    process.signal(signal.SIGINT)
    done = process.wait()
    assert time.monotonic() - started < 5
    assert done.code == 130
    way_on = f"go on with: metacli resume {run.relative_to(tmp_path)}"
    assert done.err.splitlines()[-2:] == ["metacli: stopped", way_on]
    assert not [path for path in run.rglob(".*") if path.name != ".lock"]


def test_a_second_process_may_not_resume_a_run_that_is_worked_on(begin, runs):
    run, _ = begin("trainer.steps=100000", lines=1)
    told = runs("resume", str(run)).message()
    assert told == f"metacli: {run}: another process works on this run\nwait for it, or stop it\n"
    assert json.loads((run / "metrics.jsonl").read_text().splitlines()[0])["step"] == 7


def test_a_finished_run_is_left_as_it_is(checks, finished):
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert "is finished" in checks("resume", str(finished)).succeeded().out
    assert {path: path.stat().st_mtime_ns for path in finished.rglob("*")} == before


def test_resume_takes_no_overrides(checks, finished):
    told = checks("resume", str(finished), "seed=3").message()
    assert (
        told
        == f"metacli: resume takes no overrides: seed=3\nfor a changed run: metacli rerun {finished} ...\n"
    )


def test_a_run_whose_data_has_changed_is_not_resumed(photographs, begin, runs, tmp_path):
    photos = photographs(tmp_path / "photos", 15)
    run, process = begin(f"dataset.root={photos}", lines=1)
    process.signal(signal.SIGKILL)
    process.wait()
    shutil.copy(photos / "class_00" / "00.png", photos / "class_00" / "01.png")
    told = runs("resume", str(run)).message()
    assert told.startswith(f"metacli: {run}: the data or its class split has changed since the run began\n")
