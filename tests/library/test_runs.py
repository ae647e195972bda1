"""train and evaluate: the same as the commands, wherever they are called, and nothing left behind."""

import json
import os
import threading
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.version import getbase
from omegaconf import OmegaConf

import metacli
from metacli import cli
from metacli.config.compose import base_version
from metacli.runtime import borrowed


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run a command in `tmp_path`: its exit code, and what it said of a mistake."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        with borrowed():
            code = cli.run(list(arguments))
        return code, capsys.readouterr().err

    return run


def of_run(path, name):
    return yaml.safe_load((path / name).read_text(encoding="utf-8"))


def test_two_runs_of_one_process_and_the_command_have_the_same_bits(command, quick, protonet, tmp_path):
    assert command("train", *quick) == (0, "")
    (by_command,) = (tmp_path / "runs" / "protonet-imagefolder").iterdir()
    again = metacli.train(*quick, f"run.root={tmp_path / 'again'}")
    wanted = json.loads((by_command / "report" / "report.json").read_text())
    for run in (protonet, again):
        assert run.report["result_hash"] == wanted["result_hash"]
        assert run.report["metrics"] == wanted["metrics"]
        assert of_run(run.path, "config.yaml") | {"run": None} == of_run(by_command, "config.yaml") | {
            "run": None
        }
        *overrides, _ = of_run(run.path, "overrides.yaml")["overrides"]
        assert overrides == of_run(by_command, "overrides.yaml")["overrides"] == quick
        assert (
            of_run(run.path, "overrides.yaml")["choices"] == of_run(by_command, "overrides.yaml")["choices"]
        )


def test_a_finished_run_says_what_came_of_it_and_stands_for_its_folder(protonet):
    assert protonet.path.is_absolute()
    assert os.fspath(protonet) == str(protonet.path)
    assert protonet.report["run"]["paradigm"] == "protonet"
    metric = protonet.report["metrics"]["accuracy"]
    assert protonet.headline == ("accuracy", metric["mean"], metric["ci95"], 12, "episodes")
    mean, ci95 = (f"{100 * metric[name]:.2f}" for name in ("mean", "ci95"))
    assert str(protonet.headline) == f"accuracy {mean} ± {ci95} % over 12 episodes"
    assert protonet.text == (protonet.path / "report" / "report.txt").read_text(encoding="utf-8")
    assert "report" not in repr(protonet)
    with pytest.raises(FrozenInstanceError):
        protonet.path = None


def test_an_evaluation_is_that_of_the_command(command, protonet, evaluation):
    found, overrides = evaluation, of_run(evaluation.path, "overrides.yaml")["overrides"]
    assert found.path.parent == protonet.path / "evaluations"
    assert command("eval", str(protonet.path), *overrides) == (0, "")
    hashes = {
        json.loads((path / "report" / "report.json").read_text())["result_hash"]
        for path in found.path.parent.iterdir()
        if of_run(path, "overrides.yaml")["overrides"] == overrides
    }
    assert hashes == {found.report["result_hash"]}
    assert found.report["protocol"]["episode"]["test"]["shots"] == 3


def test_an_evaluation_without_changes_has_the_result_of_the_run(protonet):
    assert metacli.evaluate(os.fspath(protonet)).report["result_hash"] == protonet.report["result_hash"]


@pytest.mark.parametrize(
    "override",
    [
        "paradgm=maml",
        "paradigm=mamll",
        "trainer.stepz=3",
        "trainer.steps=many",
        "episode.test.ways=1000",
        "+new=1",
        "paradigm",
        "seed=1,2",
        "seed=${seeds}",
        "backbone=null",
        "dataset=imagefolder",
        "paradigm.name=protonet",
    ],
)
def test_a_mistake_is_told_as_the_command_tells_it(override, command, tmp_path):
    with pytest.raises(metacli.UserError) as told:
        metacli.train(override)
    assert (2, f"metacli: {told.value}\n") == command("train", override)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["--cfg"], "--cfg: a flag of the command line"),
        (["hydra.run.dir=here"], "hydra.run.dir=here: nothing of Hydra's command line is used here"),
        (["hydra/launcher=joblib"], "hydra/launcher=joblib: nothing of Hydra's"),
        ([["seed=1"]], r"\['seed=1'\]: not an override\neach is a string"),
    ],
)
def test_what_is_no_override_is_refused(overrides, problem, protonet):
    for call in (metacli.train, lambda *given: metacli.evaluate(protonet, *given)):
        with pytest.raises(metacli.UserError, match=f"^{problem}"):
            call(*overrides)


def test_what_cannot_be_evaluated_is_refused(protonet, evaluation, maml, tmp_path):
    with pytest.raises(metacli.UserError, match="not a run\n"):
        metacli.evaluate(tmp_path)
    with pytest.raises(metacli.UserError, match="the head of maml is built for 5 ways"):
        metacli.evaluate(maml, "episode.test.ways=3")
    with pytest.raises(
        metacli.UserError, match=f"an evaluation, not a run\nevaluate the run itself: {protonet.path}"
    ):
        metacli.evaluate(evaluation)


def test_a_run_in_another_thread_has_the_same_bits(quick, protonet, tmp_path):
    found = []
    thread = threading.Thread(target=lambda: found.append(metacli.train(*quick, f"run.root={tmp_path}")))
    thread.start()
    thread.join()
    assert found[0].report["result_hash"] == protonet.report["result_hash"]


def settings_of_torch() -> dict:
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.get_deterministic_debug_mode(),
        "fill": torch.utils.deterministic.fill_uninitialized_memory,
        "precision": torch.get_float32_matmul_precision(),
        "tf32": torch.backends.cudnn.allow_tf32,
        "benchmark": torch.backends.cudnn.benchmark,
        "random": torch.random.get_rng_state().tolist(),
    }


def test_the_users_settings_of_torch_change_nothing_and_are_not_changed(quick, protonet, tmp_path):
    with borrowed():
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        torch.set_float32_matmul_precision("medium")
        before = settings_of_torch()
        with torch.device("meta"), torch.inference_mode():
            run = metacli.train(*quick, f"run.root={tmp_path}")
            learner = metacli.load(run)
            learner.adapt(np.zeros((2, 10, 10, 1), np.uint8), ["oak", "elm"])
        assert settings_of_torch() == before
        assert {parameter.dtype for parameter in learner.learner.parameters()} == {torch.float32}
    assert run.report["result_hash"] == protonet.report["result_hash"]


def test_no_hydra_is_left_running(protonet, evaluation):
    assert not GlobalHydra.instance().is_initialized()


def test_a_hydra_that_the_user_has_running_goes_on(protonet, tmp_path, monkeypatch):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "app.yaml").write_text("own: 1\njob: ${hydra:job.name}\n")
    (tmp_path / "options" / "backbone").mkdir(parents=True)
    (tmp_path / "options" / "backbone" / "tiny.yaml").write_text("name: pixels\n")
    monkeypatch.setenv("METACLI_CONFIG_PATH", str(tmp_path / "options"))
    older = dict.fromkeys(base_version(), "1.2")
    with initialize_config_dir(str(tmp_path / "theirs"), job_name="theirs", **older):
        version = getbase()
        before = compose("app", return_hydra_config=True)
        metacli.evaluate(protonet, "episode.test.count=2")
        with pytest.raises(metacli.UserError, match="unknown key"):
            metacli.train("trainer.stepz=1", "backbone=tiny")
        assert getbase() == version
        after = compose("app", return_hydra_config=True)
    assert OmegaConf.to_container(after) == OmegaConf.to_container(before)
    assert after.hydra.job.name == "theirs"
    assert not [source for source in after.hydra.runtime.config_sources if "options" in source.path]
