"""What a run leaves behind, other people's options, other working folders, and a terminal."""

import json
import os
import pty
import re
import subprocess
import sys
import time

import pytest
import yaml

from metacli import __version__
from metacli.checkpoint import load_state, load_weights

FILES = {
    "config.yaml",
    "overrides.yaml",
    "manifest.json",
    "log.txt",
    "metrics.jsonl",
    ".lock",
    "checkpoints/last.pt",
    "checkpoints/best.safetensors",
    "report/report.json",
    "report/report.txt",
    "report/report.csv",
    "report/report.html",
    "report/confusion.png",
    "report/learning_curve.png",
    "report/episodes.png",
    "report/support.png",
    "report/predictions.csv",
    "report/episodes.csv",
}


def files(run) -> set[str]:
    return {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}


def manifest(run) -> dict:
    return json.loads((run / "manifest.json").read_text())


def made(folder) -> list:
    return sorted(path.parent for path in (folder / "runs").rglob("manifest.json"))


def test_a_run_has_the_files_that_it_should_and_no_others(finished):
    assert files(finished) == FILES


def test_the_config_is_the_whole_of_the_experiment(finished, photos):
    config = yaml.safe_load((finished / "config.yaml").read_text())
    assert config["dataset"]["root"] == str(photos)
    assert config["paradigm"]["inner"]["eval_steps"] == 1
    assert "${" not in (finished / "config.yaml").read_text()


def test_the_command_line_is_kept(finished, settings):
    kept = yaml.safe_load((finished / "overrides.yaml").read_text())
    assert kept["overrides"] == settings
    assert kept["choices"]["paradigm"] == "maml"
    assert kept["choices"]["dataset"] == "imagefolder"


def test_the_manifest_says_what_the_result_depends_on(finished):
    facts = manifest(finished)
    assert facts["versions"]["metacli"] == __version__
    assert {"python", "torch", "numpy", "hydra-core"} <= facts["versions"].keys()
    assert {"system", "cpu", "cores"} == facts["machine"].keys()
    assert re.fullmatch("[0-9a-f]{32}", facts["code"]["source"])
    assert (facts["threads"], facts["chunk"]) == (1, 4)
    assert facts["data"]["images"] == 120
    assert facts["data"]["classes"] == {"train": 5, "val": 5, "test": 5}
    for key in ("result_hash", "episode_hash"):
        assert re.fullmatch("[0-9a-f]{32}", facts[key])


def test_the_report_has_what_is_promised(finished):
    report = json.loads((finished / "report" / "report.json").read_text())
    assert (report["task"], report["primary"]) == ("classify", "accuracy")
    accuracy = report["metrics"]["accuracy"]
    assert accuracy.keys() == {"mean", "ci95", "n", "unit"}
    assert 0 < accuracy["mean"] < 1
    assert accuracy["n"] == 12
    assert len(report["per_class"]) == 5
    assert report["per_class"][0].keys() == {"class", "precision", "recall", "f1", "support"}
    assert sum(row["support"] for row in report["per_class"]) == 12 * 5 * 2
    assert report["averages"].keys() == {"micro", "macro", "weighted"}
    protocol = report["protocol"]
    assert {"bn_mode", "order", "episode", "episode_hash", "selection", "class_overlap"} <= protocol.keys()
    assert protocol["episode"].keys() == {"train", "val", "test"}
    assert protocol["class_overlap"] == 0
    keys = "paradigm family dataset backbone seed device threads seconds_train seconds_total parameters"
    assert set(keys.split()) <= report["run"].keys()
    assert report["result_hash"] == manifest(finished)["result_hash"]
    assert protocol["episode_hash"] == manifest(finished)["episode_hash"]


def test_every_measured_step_is_a_line_of_the_history(finished):
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [7, 10, 14, 20, 21, 28, 30, 35, 40]
    assert [row["step"] for row in rows if "val_accuracy" in row] == [10, 20, 30, 40]


def test_checkpoints_are_read_without_running_code(finished):
    state = load_state(finished / "checkpoints" / "last.pt")
    assert state["progress"]["step"] == 40
    weights = load_weights(finished / "checkpoints" / "best.safetensors")
    assert weights.keys() == state["learner"].keys()


def test_the_log_holds_what_was_printed(forks, settings, tmp_path):
    done = forks.start("train", *settings, "trainer.steps=2", folder=tmp_path).wait().succeeded()
    (run,) = made(tmp_path)
    logged = [line.split(" ", 2)[2] for line in (run / "log.txt").read_text().splitlines()]
    assert logged == done.out.splitlines()
    assert logged[0] == f"run {run.relative_to(tmp_path)}"
    assert logged[-1] == f"report {run.relative_to(tmp_path)}/report/report.html"


def test_a_fresh_process_gives_the_same_bits(finished, settings, cache, tmp_path):
    command = [sys.executable, "-m", "metacli.cli", "train", *settings, "device.workers=2"]
    environment = os.environ | {"METACLI_CACHE": str(cache)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (run,) = made(tmp_path)
    assert manifest(run)["result_hash"] == manifest(finished)["result_hash"]
    for name in ("metrics.jsonl", "checkpoints/best.safetensors", "report/predictions.csv"):
        assert (run / name).read_bytes() == (finished / name).read_bytes(), name


def test_a_setting_without_effect_is_named_in_the_log(runs, settings, tmp_path):
    plain = [text for text in settings if not text.startswith("backbone")]
    runs("train", *plain, "paradigm=nearest_centroid", "optimizer.lr=3", "paradigm.bn_mode=batch").succeeded()
    (run,) = made(tmp_path)
    log = (run / "log.txt").read_text()
    assert "optimizer.lr has no effect: nearest_centroid does not train" in log
    assert "paradigm.bn_mode has no effect: backbone pixels has no batch norm" in log
    assert files(run) == FILES - {"metrics.jsonl", "checkpoints/last.pt"}


@pytest.mark.parametrize("setting", ["optimizer.lr=1e30", "paradigm.inner.lr=1e30"])
def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_good_state(
    setting, runs, settings, tmp_path
):
    told = runs("train", *settings, setting).message()
    (run,) = made(tmp_path)
    step = int(re.search(r"at step (\d+)$", told.splitlines()[0])[1])
    assert 1 <= step <= 7  # losses are looked at with every line of the log
    assert "usual causes: optimizer.lr or paradigm.inner.lr" in told
    assert told.endswith(f"is kept: {run.relative_to(tmp_path)}/checkpoints/last.pt\n")
    state = load_state(run / "checkpoints" / "last.pt")
    assert state["progress"]["step"] < step
    assert all(tensor.isfinite().all() for tensor in state["learner"].values())
    assert not (run / "report").exists()


@pytest.fixture
def extension(tmp_path):
    """A folder of somebody else's options."""
    (tmp_path / "mine" / "backbone").mkdir(parents=True)
    (tmp_path / "mine" / "backbone" / "tiny.yaml").write_text(
        "# As small as can be.\nname: conv4\nwidth: 2\ndepth: 1\ndownsample: stride\nnorm: none\n"
    )
    return tmp_path / "mine"


def test_options_of_other_folders_are_found(checks, extension):
    by_variable = checks(
        "train", "--cfg", "job", "backbone=tiny", METACLI_CONFIG_PATH=str(extension)
    ).succeeded()
    by_flag = checks("train", "--cfg", "job", "backbone=tiny", "--config-dir", str(extension)).succeeded()
    assert by_variable.out == by_flag.out
    assert yaml.safe_load(by_variable.out)["backbone"]["width"] == 2
    listed = checks("list", "backbone", METACLI_CONFIG_PATH=f"{extension}:{extension}").succeeded().out
    assert "  tiny                    As small as can be.\n" in listed
    assert "tiny" in checks("train", "--help", METACLI_CONFIG_PATH=str(extension)).succeeded().out


def test_a_mistake_in_an_option_of_another_folder_is_an_error(checks, extension):
    path = extension / "backbone" / "tiny.yaml"
    path.write_text(path.read_text() + "widht: 3\n_target_: os.system\n")
    told = checks("train", "backbone=tiny", METACLI_CONFIG_PATH=str(extension)).message()
    assert told.startswith('metacli: unknown key backbone.widht=3\ndid you mean "width"?')


def test_cfg_job_prints_a_config_and_does_nothing(checks, tmp_path):
    done = checks("train", "paradigm=protonet", "--cfg", "job").succeeded()
    config = yaml.safe_load(done.out)
    assert config["paradigm"]["name"] == "protonet"
    assert "hydra" not in config
    assert list(tmp_path.iterdir()) == []


def test_paths_are_relative_to_where_the_command_is_given(runs, settings, photos, tmp_path):
    (tmp_path / "below").mkdir()
    (tmp_path / "photos").symlink_to(photos)
    runs(
        "train",
        *settings,
        "dataset.root=../photos",
        "trainer.steps=1",
        "run.root=out/of",
        "run.name=mine",
        folder=tmp_path / "below",
    ).succeeded()
    (run,) = (tmp_path / "below" / "out" / "of" / "mine").iterdir()
    assert (run / "report" / "report.json").exists()


def test_on_a_terminal_progress_is_a_line_that_is_redrawn(forks, settings, tmp_path):
    ours, theirs = pty.openpty()
    process = forks.start(
        "train",
        *settings,
        "trainer.steps=200",
        "trainer.val_every=100",
        "trainer.log_every=1000",
        folder=tmp_path,
        terminal=os.ttyname(theirs),
        environment={"TERM": "xterm"},
    )
    shown = b""
    os.set_blocking(ours, False)
    while process.poll() is None:
        try:
            shown += os.read(ours, 4096)
        except BlockingIOError:
            time.sleep(0.01)
    os.close(theirs)
    os.close(ours)
    text = shown.decode()
    assert process.wait().code == 0
    assert "\x1b[2K" in text or "\r" in text
    assert re.search(r"step 100/200 .*val \d+\.\d+ ± \d+\.\d+ %.*tasks/s", text)
    assert "step 7/200" not in text
    assert re.search(r"(?<!\d)[1-9]\d?/200", text)  # the bar moves where nothing is measured yet
    (run,) = made(tmp_path)
    assert "\x1b" not in (run / "log.txt").read_text()
