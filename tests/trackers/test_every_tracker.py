"""What holds for every tracker of ours: processes log a run, are killed, go on; then it is read back."""

import json
import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import metacli
from metacli.config.registry import components

HERE = Path(__file__).parent
SETTINGS = {
    "jsonl": {"file": None},
    "tensorboard": {"dir": None},
    "wandb": {"mode": "offline", "project": "shapes", "entity": None, "group": None, "tags": ["a"]},
    "mlflow": {"uri": None, "experiment": "metacli"},
}
ROWS = [
    {"step": 10, "loss": 1.5},
    {"step": 20, "loss": 1.25, "val_accuracy": 0.5, "val_ci95": 0.125},
    {"step": 30, "loss": 1.0},
    {"step": 40, "loss": 0.75, "val_accuracy": 0.625, "val_ci95": 0.125},
]
POINTS = {
    "loss": [[10, 1.5], [20, 1.25], [30, 1.0], [40, 0.75]],
    "val_accuracy": [[20, 0.5], [40, 0.625]],
    "val_ci95": [[20, 0.125], [40, 0.125]],
}
FINAL = {"test_accuracy": 0.75, "test_accuracy_ci95": 0.01, "test_macro_f1": 0.5}


@pytest.fixture(params=SETTINGS)
def name(request):
    extra = components("tracker")[request.param].extra
    if extra and find_spec(extra) is None:
        pytest.skip(f'needs pip install "metacli[{extra}]"')
    return request.param


@pytest.fixture
def folder(tmp_path):
    """Of a run; no tracker may write anywhere else than here and in the user's own folders, which are here, too."""
    run = tmp_path / "runs" / "maml-glyphs" / "20261124-101500-1a2b3c"
    run.mkdir(parents=True)
    return run


@pytest.fixture
def drive(name, folder, tmp_path):
    """Log with the tracker `name`; returns the lines that the user sees."""

    def run(*, history=(), rows=(), end="finish", settings=None) -> list[str]:
        task = {"tracker": name, "settings": settings or SETTINGS[name], "folder": str(folder)}
        task |= {"history": list(history), "rows": list(rows), "end": end}
        done = python(tmp_path, "drive.py", json.dumps(task))
        assert done.returncode == (-signal.SIGKILL if end == "kill" else 0), done.stderr
        assert done.stderr == ""
        return done.stdout.splitlines()

    return run


@pytest.fixture
def kept(name, folder, tmp_path):
    """What the tracker keeps of the run, read by the tracker's own means."""

    def read() -> dict:
        done = python(tmp_path, "read.py", name, str(folder))
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return read


def python(home: Path, script: str, *arguments: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"HOME": str(home), "PYTHONPATH": str(Path(metacli.__file__).parents[1])}
    command = [sys.executable, "-W", "error", str(HERE / script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=home, check=False)


def without_final(points: dict) -> dict:
    return {key: found for key, found in points.items() if not key.startswith("test_")}


def test_a_run_is_kept_whole(name, drive, kept, folder):
    said = drive(rows=ROWS)
    assert [line.partition(": ")[0] for line in said] == [f"tracker {name}"]
    assert str(folder) in said[0]
    found = kept()
    assert without_final(found["points"]) == POINTS
    final = {key: points[0][1] for key, points in found["points"].items() if key.startswith("test_")}
    assert final == pytest.approx(FINAL)
    assert found["config"]["seed"] in ("3", "3.0")
    if name != "jsonl":
        assert "confusion" in found["shown"]
    if name in ("wandb", "mlflow"):
        assert "report" in found["shown"]
        assert found["state"] in ("0", "FINISHED")


def test_a_run_that_is_killed_twice_goes_on_without_a_point_lost_or_doubled(drive, kept):
    drive(rows=ROWS[:3], end="kill")
    drive(history=ROWS[:2], end="kill")  # the last checkpoint stood at 20
    drive(history=ROWS[:2], rows=ROWS[2:])
    assert without_final(kept()["points"]) == POINTS


def test_a_stopped_run_is_told_from_a_finished_one_and_goes_on(name, drive, kept):
    drive(rows=ROWS[:2], end="stop")
    assert kept()["state"] in ("", "1", "KILLED")
    drive(history=ROWS[:2], rows=ROWS[2:])
    found = kept()
    assert without_final(found["points"]) == POINTS
    assert found["state"] in ("", "0", "FINISHED")


def test_a_folder_that_cannot_be_written_is_said_once(name, drive, folder):
    for path in ("tracker.jsonl/x", "tensorboard", "wandb", "mlflow"):
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text("in the way")
    (said,) = drive(rows=ROWS)
    assert said.startswith(f"tracker {name} failed and is left out from now on: ")
