"""A run that is killed while it pretrains goes on to the bits of one that was not, and says what it did."""

import json
import re
import signal
import time
from pathlib import Path

import pytest

from metacli.rundir import RunFolder

BITS = [
    "metrics.jsonl",
    "checkpoints/pretrain.safetensors",
    "checkpoints/best.safetensors",
    "report/predictions.csv",
]
PRETRAINED = [
    "paradigm=protonet",
    "pretrain=supervised",
    "optimizer@pretrain.optimizer=adam",
    "pretrain.epochs=12",
    "pretrain.batch=8",
    "trainer.steps=10",
]


@pytest.fixture(scope="module")
def whole(forks, settings, tmp_path_factory) -> Path:
    """A run without a break."""
    folder = tmp_path_factory.mktemp("pretrained")
    forks.start("train", *settings, *PRETRAINED, folder=folder).wait().succeeded()
    (run,) = (folder / "runs" / "protonet-imagefolder").iterdir()
    return run


def test_killed_while_it_pretrains_and_again_while_it_trains(forks, runs, settings, whole, tmp_path):
    process = forks.start("train", *settings, *PRETRAINED, folder=tmp_path)
    for lines in (3, 13):
        while process.poll() is None and written(tmp_path) < lines:
            time.sleep(0.001)
        assert process.poll() is None, process.wait()
        process.signal(signal.SIGKILL)
        assert process.wait().code == -signal.SIGKILL
        (run,) = (tmp_path / "runs" / "protonet-imagefolder").iterdir()
        assert not (run / "report" / "report.json").exists()
        process = forks.start("resume", str(run), folder=tmp_path)
    done = process.wait().succeeded()
    assert re.search(r"(pretrain: )?resumed after step \d+\n", done.out)
    log = (run / "log.txt").read_text()
    step = int(re.search(r"pretrain: resumed after step (\d+)", log)[1])
    assert step % 5 == 0  # an epoch is 5 batches of 7 and 8 images
    for name in BITS:
        assert (run / name).read_bytes() == (whole / name).read_bytes(), name
    assert RunFolder(run).manifest()["result_hash"] == RunFolder(whole).manifest()["result_hash"]


def test_the_report_says_what_came_before_meta_training(whole):
    report = json.loads((whole / "report" / "report.json").read_text())
    (stage,) = report["protocol"]["stages"].items()
    name, facts = stage
    assert (name, facts["images"], facts["classes"], facts["epochs"]) == ("pretrain", 36, 5, 12)
    said = f"12 epochs of 36 images of 5 meta-train classes, epoch {facts['best_epoch']} kept: accuracy"
    text = " ".join((whole / "report" / "report.txt").read_text().split())
    assert f"pretrain stage {said}" in text
    assert said in (whole / "report" / "report.html").read_text()
    assert (whole / "report" / "pretrain_curve.png").exists()
    assert report["run"]["seconds_train"] >= facts["seconds"]


def test_an_evaluation_and_a_rerun_of_it(runs, whole):
    done = runs("eval", str(whole), "pretrain.epochs=3").succeeded()
    assert "pretrain.epochs has no effect: nothing is trained here" in done.out
    evaluation = RunFolder(Path(re.search(r"evaluation (\S+)", done.out)[1]))
    assert evaluation.manifest()["result_hash"] == RunFolder(whole).manifest()["result_hash"]
    assert "12 epochs of 36 images" in " ".join((evaluation.report / "report.txt").read_text().split())
    assert "identical" in runs("rerun", str(whole)).succeeded().out


def written(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.rglob("metrics.jsonl"))
