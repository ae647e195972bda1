"""A method of the user's own, a file beside a YAML, through every command; and a package, as pip installs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import metacli
from metacli.rundir import RunFolder

ROOT = Path(metacli.__file__).parents[1]
EXAMPLE = ROOT / "examples" / "single_file"
METHOD = ["paradigm=cosine_prototypes", "trainer.steps=60"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the example, in a folder of the user's."""
    return Path(shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("mine") / "options"))


@pytest.fixture(scope="module")
def trained(forks, settings, folder, tmp_path_factory) -> Path:
    """A run of it. Look at it, copy it, do not change it."""
    place = tmp_path_factory.mktemp("trained")
    environment = {"METACLI_CONFIG_PATH": str(folder)}
    forks.start("train", *settings, *METHOD, folder=place, environment=environment).wait().succeeded()
    (run,) = (place / "runs" / "cosine_prototypes-imagefolder").iterdir()
    return run


@pytest.fixture
def run(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "run"))


def accuracy(run: Path) -> float:
    return json.loads((run / "report" / "report.json").read_text())["metrics"]["accuracy"]["mean"]


def test_it_learns_and_its_code_stands_in_the_manifest(trained, folder):
    assert accuracy(trained) > 0.5  # chance is 0.2
    code = RunFolder(trained).manifest()["code"]
    assert code["paradigm.cosine_prototypes"]["file"] == f"{folder}/paradigm/cosine_prototypes.py"
    assert "cosine_prototypes.py" not in (trained / "config.yaml").read_text()


def test_it_runs_again_and_is_evaluated_where_its_folder_is_named(runs, run, folder):
    named = {"METACLI_CONFIG_PATH": str(folder)}
    assert "identical: result " in runs("rerun", str(run), **named).succeeded().out
    runs("eval", str(run), "episode.test.shots=2", **named).succeeded()
    (evaluation,) = (run / "evaluations").iterdir()
    assert accuracy(evaluation) > accuracy(run)


def test_where_its_folder_is_not_named_commands_say_which_it_was(checks, run, folder):
    (run / "report" / "report.json").unlink()  # as if it had been interrupted
    for command in (["resume"], ["rerun"], ["eval"], ["rerun", "paradigm=protonet"], ["eval", "seed=1"]):
        told = checks(command[0], str(run), *command[1:]).message().splitlines()
        assert told[0].startswith("metacli: paradigm=cosine_prototypes: the run took it from ")
        assert told[1] == f"name its folder: METACLI_CONFIG_PATH={folder}"
    checks("show", str(run)).succeeded()


def test_a_method_that_was_edited_is_named_when_its_run_goes_on(runs, run, tmp_path, folder):
    changed = Path(shutil.copytree(folder, tmp_path / "changed"))
    method = changed / "paradigm" / "cosine_prototypes.py"
    method.write_text(method.read_text() + "# edited\n")
    shutil.rmtree(run / "report")
    resumed = runs("resume", str(run), METACLI_CONFIG_PATH=str(changed)).succeeded().out
    assert "since the run began: code.paradigm.cosine_prototypes.source: " in resumed


def test_it_is_listed_described_and_completed_without_being_run(checks, folder):
    named = {"METACLI_CONFIG_PATH": str(folder)}
    assert "\n  cosine_prototypes       [agnostic] Cosine" in checks("list", "paradigm", **named).out
    assert "scale: 10.0" in checks("train", METHOD[0], "--help", **named).succeeded().out
    words = checks("completion", "answer", f"metacli train {METHOD[0]} paradigm.s", **named)
    assert words.succeeded().out == "paradigm.scale=\n"
    assert "seed=x" in checks("train", "seed=x", **named).message()  # of another method: no torch


def test_the_flag_names_a_folder_as_the_variable_does(runs, settings, folder, tmp_path):
    short = ["trainer={steps: 2, val_every: 2}", "paradigm=protonet,cosine_prototypes"]
    runs("sweep", *settings, *short, f"--config-dir={folder}").succeeded()
    told = runs("train", METHOD[0], "paradigm.scale=-1", "-cd", str(folder)).message()
    assert told.startswith("metacli: paradigm.scale=-1: input should be greater than 0\n")
    assert 'did you mean "cosine_prototypes"?' in runs("train", METHOD[0] + "s", "-cd", str(folder)).message()


def test_a_mistake_in_a_file_is_told_by_train_and_by_doctor(runs, checks, folder, tmp_path):
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    path = broken / "paradigm" / "cosine_prototypes.py"
    path.write_text("from metacli import no_such_thing\n")
    named = {"METACLI_CONFIG_PATH": str(broken)}
    said = f"{path}, line 1: ImportError: cannot import name 'no_such_thing'"
    assert checks("train", METHOD[0], **named).message().startswith(f"metacli: {said}")
    assert said in runs("doctor", **named).out.replace("\n            ", " ")


def test_a_package_that_pip_installed_adds_a_data_set_a_backbone_and_a_method(tmp_path):
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-input", "install"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(tmp_path / "site")]
    subprocess.run([*pip, *options, str(ROOT / "examples" / "extension")], check=True, cwd=tmp_path)
    environment = os.environ | {"PYTHONPATH": f"{tmp_path / 'site'}{os.pathsep}{ROOT}"}
    overrides = [
        "paradigm=neighbours",
        "dataset=gratings",
        "backbone=spectrum",
        "trainer={steps: 20, meta_batch: 4, chunk: 4, val_every: 20}",
        "episode.val.count=20",
        "episode.test.count=50",
        "device.threads=1",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "metacli.cli", "train", *overrides],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = (tmp_path / "runs" / "neighbours-gratings").iterdir()
    assert accuracy(run) > 0.7  # chance is 0.2, pixels are at 0.36
    code = RunFolder(run).manifest()["code"]
    for name in ("paradigm.neighbours", "dataset.gratings", "backbone.spectrum"):
        assert code[name]["package"] == "metacli-gratings 1.0"
