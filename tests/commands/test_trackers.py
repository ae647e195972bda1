"""Runs with trackers: the same results as without, whatever becomes of the trackers."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import metacli
from metacli.rundir import RunFolder

ROOT = Path(metacli.__file__).parents[1]
TENSORBOARD = pytest.mark.skipif(find_spec("tensorboard") is None, reason='needs "metacli[tensorboard]"')


def new_run(folder: Path) -> Path:
    (run,) = (folder / "runs").glob("*/*")
    return run


def assert_same(run: Path, other: Path) -> None:
    for name in ("metrics.jsonl", "checkpoints/best.safetensors", "report/predictions.csv"):
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    assert RunFolder(run).manifest()["result_hash"] == RunFolder(other).manifest()["result_hash"]


def tracked_rows(file: Path) -> list[dict]:
    lines = [json.loads(text) for text in file.read_text().splitlines()]
    assert [line["kind"] for line in lines[1:-1]] == ["row"] * (len(lines) - 2)
    assert (lines[0]["kind"], lines[-1]["kind"]) == ("config", "final")
    return [{k: v for k, v in line.items() if k not in ("run", "time", "kind")} for line in lines[1:-1]]


def history(run: Path) -> list[dict]:
    return [json.loads(text) for text in (run / "metrics.jsonl").read_text().splitlines()]


@TENSORBOARD
def test_trackers_change_no_result_and_a_rerun_may_have_others(runs, finished, tmp_path):
    done = runs("rerun", str(finished), "tracker=[jsonl,tensorboard]").succeeded()
    run = new_run(tmp_path)
    assert_same(run, finished)
    assert tracked_rows(run / "tracker.jsonl") == history(run)
    assert list((run / "tensorboard").iterdir())
    told = [line for line in done.out.splitlines() if line.startswith("tracker")]
    shown = run.relative_to(tmp_path)
    assert told == [f"tracker jsonl: {shown}/tracker.jsonl", f"tracker tensorboard: {shown}/tensorboard"]
    again = runs("rerun", str(run)).succeeded()
    assert again.out.splitlines()[-1].startswith("identical: result ")
    assert len(list((tmp_path / "runs").glob("*/*/tracker.jsonl"))) == 2


def test_a_killed_run_goes_on_in_the_same_file_without_a_row_lost_or_doubled(
    forks, runs, settings, finished, tmp_path
):
    process = forks.start("train", *settings, "tracker=jsonl", folder=tmp_path)
    while (
        not (found := list((tmp_path / "runs").glob("*/*/tracker.jsonl")))
        or len(found[0].read_bytes().splitlines()) < 5
    ):
        assert process.poll() is None, process.wait()
        time.sleep(0.002)
    process.signal(signal.SIGKILL)
    process.wait()
    run = found[0].parent
    runs("resume", str(run)).succeeded()
    assert_same(run, finished)
    assert tracked_rows(run / "tracker.jsonl") == history(run)


def test_what_does_not_train_is_tracked_by_its_final_metrics(runs, settings, tmp_path):
    data = [text for text in settings if not text.startswith("backbone")]
    runs("train", *data, "tracker=jsonl", "paradigm=nearest_centroid").succeeded()
    assert tracked_rows(new_run(tmp_path) / "tracker.jsonl") == []


def test_a_tracker_that_fails_is_said_once_and_the_run_is_the_same(runs, settings, finished, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = runs("train", *settings, "tracker=jsonl", "tracker.jsonl.file=file/rows").succeeded()
    run = new_run(tmp_path)
    assert_same(run, finished)
    said = "tracker jsonl failed and is left out from now on: FileExistsError: "
    assert done.out.count(said) == done.out.count("failed") == 1
    assert (run / "log.txt").read_text().count(said) == 1


def test_a_sweep_may_log_to_one_file(runs, settings, tmp_path):
    sweep = ["-m", "seed=0,1", "trainer.steps=7", "tracker=jsonl", "tracker.jsonl.file=all.jsonl"]
    runs("train", *settings, *sweep).succeeded()
    lines = [json.loads(text) for text in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["config", "row", "final"] * 2
    assert [line["config"]["seed"] for line in lines if line["kind"] == "config"] == [0, 1]


def test_an_evaluation_is_not_tracked(runs, settings, tmp_path):
    runs("train", *settings, "trainer.steps=7", "tracker=jsonl").succeeded()
    run = new_run(tmp_path)
    before = (run / "tracker.jsonl").read_bytes()
    done = runs("eval", str(run), "tracker=tensorboard").succeeded()
    assert "tracker has no effect: nothing is trained here" in done.out
    assert (run / "tracker.jsonl").read_bytes() == before
    (evaluation,) = (run / "evaluations").iterdir()
    assert not {"tracker.jsonl", "tensorboard"} & {path.name for path in evaluation.iterdir()}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["tracker=tensorbord"], 'tracker=tensorbord: no such option\ndid you mean "tensorboard"?'),
        (["tracker=[jsonl,tensorbord]"], 'tracker=tensorbord: no such option\ndid you mean "tensorboard"?'),
        (["tracker.wandb.project=x"], "unknown key tracker.wandb\nto choose the option: tracker=wandb"),
        (["tracker=jsonl", "tracker.jsonl.fil=x"], 'unknown key tracker.jsonl.fil\ndid you mean "file"?'),
        (["tracker=jsonl,none"], "tracker=jsonl,none: several values\n"),
    ],
)
def test_mistakes_are_named_before_anything_is_made(overrides, said, checks, tmp_path):
    assert checks("train", *overrides).message().startswith(f"metacli: {said}")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def postcards(tmp_path) -> Path:
    """The package of docs/trackers.md as pip would install it."""
    page = (ROOT / "docs" / "trackers.md").read_text(encoding="utf-8")
    files = dict(re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", page, re.M | re.S))
    groups = tomllib.loads(files.pop("pyproject.toml"))["project"]["entry-points"]
    files["postcard-1.0.dist-info/METADATA"] = "Metadata-Version: 2.1\nName: postcard\nVersion: 1.0\n"
    files["postcard-1.0.dist-info/entry_points.txt"] = "".join(
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in groups.items()
    )
    for path, text in files.items():
        (tmp_path / "site" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / path).write_text(text, encoding="utf-8")
    return tmp_path / "site"


def test_the_tracker_of_another_package_that_the_docs_show_works(postcards, settings, tmp_path):
    environment = os.environ | {
        "PYTHONPATH": f"{postcards}{os.pathsep}{ROOT}",
        "METACLI_CACHE": str(tmp_path / "cache"),
    }
    (tmp_path / "here").mkdir()
    overrides = [*settings, "trainer.steps=8", "tracker=[jsonl,postcard]", "tracker.postcard.greeting=Hi"]
    done = subprocess.run(
        [sys.executable, "-m", "metacli.cli", "train", *overrides],
        cwd=tmp_path / "here",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    run = new_run(tmp_path / "here")
    assert f"tracker postcard: {run.relative_to(tmp_path / 'here')}/postcard.txt" in done.stdout
    lines = (run / "postcard.txt").read_text().splitlines()
    assert lines[0] == f"Hi from maml-imagefolder/{run.name}"
    assert [line.partition(":")[0] for line in lines[1:4]] == ["step 7", "step 8", "test_accuracy"]
