"""Runs are found below a folder and told apart by how far they are, from their files and locks alone."""

import json
import shutil
import time
from datetime import UTC, datetime, timedelta

import pytest

from metacli.errors import UserError
from metacli.rundir import RunFolder, create
from metacli.runlist import read_run, runs_below

CONFIG = {
    "seed": 3,
    "dataset": {"name": "glyphs"},
    "backbone": {"name": "conv4"},
    "paradigm": {"name": "maml"},
    "trainer": {"steps": 600},
}
HOW = {"overrides": [], "choices": {"backbone": "conv4_stride"}}
HEADLINE = {
    "metric": "accuracy",
    "split": "test",
    "mean": 0.8659,
    "ci95": 0.0063,
    "n": 600,
    "unit": "fraction",
}


def make(parent, *, ago: float = 0) -> RunFolder:
    created = (datetime.now(UTC) - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%S%z")
    return create(parent, CONFIG, HOW, {"created": created})


def finish(run: RunFolder, **headline) -> None:
    run.update_manifest(headline=HEADLINE | headline)
    run.report.mkdir()
    (run.report / "report.json").write_text("{}")


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return make(tmp_path)


def test_a_run_that_nobody_works_on_is_interrupted(run):
    run.log("step 20/600")
    assert read_run(run).status == "interrupted"


def test_a_run_is_running_while_its_lock_is_held(run):
    with run.locked():
        assert read_run(run).status == "running"
    assert read_run(run).status == "interrupted"


def test_a_run_is_finished_once_its_report_is_there_even_if_it_is_worked_on(run):
    finish(run)
    with run.locked():
        assert read_run(run).status == "finished"


def test_a_run_whose_log_ends_with_a_failure_has_failed_until_it_goes_on(run):
    run.log("failed: not by that word alone")
    run.log_failure(UserError("the loss became nan at step 3", "lower it"))
    found = read_run(run)
    assert (found.status, found.reason) == ("failed", "the loss became nan at step 3")
    with run.locked():
        assert read_run(run).status == "running"
    run.log("resumed after step 0")
    assert (read_run(run).status, read_run(run).reason) == ("interrupted", "")


def test_a_line_that_only_speaks_of_failure_is_none(run):
    run.log("3 images failed: skipped")
    assert read_run(run).status == "interrupted"


@pytest.mark.parametrize("name", ["config.yaml", "overrides.yaml", "manifest.json"])
def test_a_run_that_was_altered_is_damaged_and_the_others_are_still_listed(name, run, tmp_path):
    other = make(tmp_path)
    path = run.path / name
    path.write_bytes(path.read_bytes()[:-20])
    found = {found.folder.path: found for found in runs_below(tmp_path)}
    assert found[other.path].status == "interrupted"
    assert found[run.path].status == "damaged"
    assert found[run.path].reason.startswith(str(path))
    assert (found[run.path].title, found[run.path].steps, found[run.path].result) == ("", "", "")


def test_a_run_of_another_format_says_which(run):
    path = run.path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 2}))
    (found,) = runs_below(run.path)
    assert (found.status, found.reason.partition(": ")[2]) == (
        "damaged",
        "written as run format 2, this metacli reads format 1",
    )


def test_runs_are_found_at_any_depth_the_newest_last_and_evaluations_are_part_of_theirs(tmp_path):
    newest = make(tmp_path / "b")
    oldest = make(tmp_path / "sweeps" / "x" / "1", ago=1000)
    middle = make(tmp_path / "a", ago=500)
    make(middle.path / "evaluations")
    (tmp_path / "empty").mkdir()
    assert [run.folder for run in runs_below(tmp_path)] == [oldest, middle, newest]
    assert [run.folder for run in runs_below(newest.path)] == [newest]
    assert runs_below(tmp_path / "none") == []


def test_what_a_run_was_is_said_in_the_words_of_its_choices(run):
    assert read_run(run).title == "maml on glyphs, conv4_stride, seed 3"


def test_the_result_names_its_metric_and_a_split_that_is_not_test(run):
    finish(run)
    assert read_run(run).result == "accuracy 86.59 ± 0.63 %"
    run.update_manifest(headline=HEADLINE | {"split": "val"})
    assert read_run(run).result == "val accuracy 86.59 ± 0.63 %"


def test_the_step_is_that_of_the_last_whole_line_of_the_history(run):
    assert read_run(run).steps == ""
    run.last.parent.mkdir()
    run.last.touch()
    assert read_run(run).steps == "0/600"
    run.add_metrics({"step": 20})
    run.add_metrics({"step": 40})
    assert read_run(run).steps == "40/600"
    with run.metrics.open("a") as file:
        file.write('{"step": 6')
    assert read_run(run).steps == "40/600"


@pytest.mark.parametrize(
    ("seconds", "age"), [(-60, "0 s"), (90, "1 min"), (3570, "59 min"), (7300, "2 h"), (200_000, "2 d")]
)
def test_the_age_is_one_number_and_its_unit(seconds, age, tmp_path):
    assert read_run(make(tmp_path, ago=seconds)).age == age


def test_a_thousand_runs_are_listed_in_about_a_second(run, tmp_path):
    finish(run)
    run.log("step 600/600")
    run.add_metrics({"step": 600})
    for number in range(200):
        shutil.copytree(run.path, tmp_path / "many" / f"{number:03d}")
    started = time.process_time()
    assert len(runs_below(tmp_path / "many")) == 200
    assert time.process_time() - started < 1  # a fifth as many; five times as long is allowed


def test_a_history_of_other_lines_is_no_reason_to_stop(run):
    run.metrics.write_text(json.dumps([1]) + "\n" + json.dumps({"loss": 2}) + "\n")
    assert read_run(run).steps == ""


def test_a_stage_is_told_by_its_epochs(tmp_path):
    config = CONFIG | {"pretrain": {"name": "supervised", "epochs": 20}}
    run = create(tmp_path, config, HOW, {"created": "2026-11-28T10:00:00+0000"})
    run.add_metrics({"stage": "pretrain", "epoch": 3, "step": 189})
    assert read_run(run).steps == "pretrain 3/20"
    assert read_run(run).far == "pretrain epoch 3/20"
    run.add_metrics({"step": 20})
    assert read_run(run).far == "step 20/600"
