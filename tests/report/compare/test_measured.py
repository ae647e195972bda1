import json
import shutil

import numpy as np
import pytest

from metacli.errors import UserError
from metacli.report.compare.measured import SEEN, measured
from metacli.rundir import RunFolder

VALUES = [0.6, 0.8, 0.7]


def test_a_run_brings_its_report_its_values_and_its_config(save_run):
    run = measured(save_run("a", VALUES, seed=3))
    assert np.array_equal(run.values, VALUES)
    assert (run.primary, run.split, run.episode["count"]) == ("accuracy", "test", 3)
    assert (run.config["seed"], run.seconds, run.training) == (3, 90.0, run.path)


def test_an_evaluation_brings_the_training_of_its_run(save_run):
    path = save_run("a", VALUES, steps=50)
    run = measured(save_run("a", VALUES, steps=50, bn_mode="support", of=path))
    assert (run.training, run.seconds) == (path, 90.0)
    assert run.settings["paradigm.bn_mode"] == "support"
    assert run.settings["trained paradigm.bn_mode"] == "running"
    shutil.rmtree(path / "report")
    assert measured(run.path).seconds is None


def test_seed_device_and_places_are_no_settings(save_run):
    one, other = (measured(save_run(name, VALUES, seed=seed)) for seed, name in enumerate("ab"))
    assert one.settings == other.settings
    assert measured(save_run("c", VALUES, steps=5)).settings != one.settings


def test_nor_are_the_test_episodes_for_which_there_is_a_column(save_run):
    path = save_run("a", VALUES, shots=5)
    config = measured(path).settings
    assert not any(key.startswith("episode.test") for key in config)
    assert "episode.val.shots" in config


@pytest.mark.parametrize(
    ("mode", "standing"),
    [
        ("batch", "transductive"),
        ("support", "inductive"),
        ("none", "inductive"),
        ("of tomorrow", "of tomorrow"),
    ],
)
def test_the_batch_norm_mode_decides_how_a_run_stands(save_run, mode, standing):
    assert measured(save_run("a", VALUES, bn_mode=mode)).standing == standing


def test_a_method_may_be_transductive_whatever_the_batch_norm_mode(save_run):
    assert measured(save_run("a", VALUES, transductive_method=True)).standing == "transductive"


def test_an_evaluation_on_another_class_split_of_its_training_data_may_know_the_test_classes(save_run):
    path = save_run("a", VALUES)
    assert measured(save_run("a", VALUES, classes="split 1", of=path)).standing == SEEN
    assert (
        measured(save_run("a", VALUES, data="omniglot", classes="split 1", of=path)).standing == "inductive"
    )


def test_so_may_a_run_that_started_from_the_weights_of_another(save_run):
    before = save_run("a", VALUES)
    run = measured(save_run("b", VALUES, classes="split 1", init_from=str(before)))
    assert run.standing == SEEN
    shutil.rmtree(before)
    assert measured(run.path).origins == (run.data, None)


def test_a_run_without_a_report_is_not_finished_and_says_how_to_go_on(save_run):
    path = save_run("a", VALUES)
    evaluation = save_run("a", VALUES, of=path)
    for folder, hint in ((path, f"metacli resume {path}"), (evaluation, f"metacli eval {path}")):
        shutil.rmtree(folder / "report")
        with pytest.raises(UserError, match="not finished") as told:
            measured(folder)
        assert told.value.hint.endswith(hint)


def test_a_run_that_failed_says_why(save_run):
    path = save_run("a", VALUES)
    shutil.rmtree(path / "report")
    RunFolder(path).log_failure(UserError("the loss became nan at step 3", ""))
    with pytest.raises(UserError, match="failed: the loss became nan at step 3"):
        measured(path)


def test_a_run_under_way_is_not_to_be_resumed(save_run):
    path = save_run("a", VALUES)
    shutil.rmtree(path / "report")
    with RunFolder(path).locked(), pytest.raises(UserError, match="still running"):
        measured(path)


def test_a_report_of_another_run_is_refused(save_run):
    path, other = save_run("a", VALUES), save_run("b", [0.5])
    shutil.rmtree(path / "report")
    shutil.copytree(other / "report", path / "report")
    with pytest.raises(UserError, match="the report of another run"):
        measured(path)


@pytest.mark.parametrize(
    "name", ["manifest.json", "config.yaml", "overrides.yaml", "report/report.json", "report/episodes.csv"]
)
def test_a_file_that_was_cut_or_changed_is_named(save_run, name):
    path = save_run("a", VALUES)
    whole = (path / name).read_bytes()
    for altered in (
        whole[: len(whole) // 2],
        whole.replace(b"0", b"1", 1) if b"0" in whole else whole + b" x",
    ):
        (path / name).write_bytes(altered)
        with pytest.raises(UserError, match=name):
            measured(path)
    (path / name).write_bytes(whole)
    measured(path)


def test_a_value_that_is_no_number_cannot_be_compared(save_run):
    with pytest.raises(UserError, match="its mse is not a finite number"):
        measured(save_run("a", [0.5, float("inf")], metric="mse"))


def test_an_evaluation_without_its_run_is_refused(save_run):
    path = save_run("a", VALUES)
    evaluation = save_run("a", VALUES, of=path)
    (path / "manifest.json").unlink()
    with pytest.raises(UserError, match="not a run"):
        measured(evaluation)


def test_a_metric_of_tomorrow_is_refused(save_run, monkeypatch):
    path = save_run("a", VALUES)
    report = json.loads((path / "report/report.json").read_text())
    assert report["primary"] == "accuracy"
    monkeypatch.setattr("metacli.report.compare.measured.METRICS", {})
    with pytest.raises(UserError, match="its metric accuracy is not known here"):
        measured(path)
    assert RunFolder(path).finished
