"""Where runs share a place, each stays whole."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import metacli
from metacli.trackers.tensorboard import TensorBoard
from metacli.trackers.tracker import TrackedRun
from metacli.trackers.tracking import Tracking

HERE = Path(__file__).parent
ROWS = [{"step": 10, "loss": 0.5}, {"step": 20, "loss": 0.25}]


@pytest.mark.skipif(find_spec("tensorboard") is None, reason='needs "metacli[tensorboard]"')
def test_runs_have_folders_of_their_own_in_a_folder_of_tensorboards(tmp_path):
    said = []
    for name in ("one", "two"):
        run = TrackedRun(tmp_path / "runs" / name, {"run": {"name": "maml"}})
        with Tracking({"tensorboard": TensorBoard(dir=str(tmp_path / "logs"))}, said.append) as tracking:
            tracking.start(run, [])
            tracking.log(ROWS[0])
    places = [tmp_path / "logs" / "maml" / name for name in ("one", "two")]
    assert said == [f"tracker tensorboard: {place}" for place in places]
    assert [len(list(place.iterdir())) for place in places] == [1, 1]
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(find_spec("mlflow") is None, reason='needs "metacli[mlflow]"')
def test_runs_that_start_at_the_same_moment_share_a_database(tmp_path):
    settings = {"uri": f"sqlite:///{tmp_path}/new/all.db", "experiment": "metacli"}
    environment = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(Path(metacli.__file__).parents[1])}
    processes = []
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        task = {"tracker": "mlflow", "settings": settings, "folder": str(tmp_path / name)}
        task |= {"history": [], "rows": ROWS, "end": "finish"}
        command = [sys.executable, str(HERE / "drive.py"), json.dumps(task)]
        processes.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment))
    said = {process.communicate()[0] for process in processes}
    assert said == {f"tracker mlflow: {settings['uri']}\n"}
