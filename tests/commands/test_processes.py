"""A run shared by processes comes to the bits of one process, and loses nothing when one of them dies."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from metacli.rundir import RunFolder

BITS = ["metrics.jsonl", "checkpoints/best.safetensors", "report/predictions.csv"]
# Running averages depend on every task, and of three chunks two processes do two and one.
SHARED = ["trainer.meta_batch=5", "trainer.chunk=2", "paradigm.bn_mode=running"]
TWO = [*SHARED, "device.processes=2"]


@pytest.fixture(scope="module")
def alone(forks, settings, tmp_path_factory):
    """The run of one process."""
    folder = tmp_path_factory.mktemp("alone")
    forks.start("train", *settings, *SHARED, folder=folder).wait().succeeded()
    return made(folder)


def made(folder: Path) -> Path:
    (run,) = (folder / "runs" / "maml-imagefolder").iterdir()
    return run


def assert_same(run: Path, other: Path) -> None:
    for name in BITS:
        assert (run / name).read_bytes() == (other / name).read_bytes(), name
    assert RunFolder(run).manifest()["result_hash"] == RunFolder(other).manifest()["result_hash"]


def children(pid: int) -> list[int]:
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True)
    pairs = (map(int, line.split()) for line in listed.stdout.splitlines())
    return [child for child, parent in pairs if parent == pid]


def wait_for(condition, process=None):
    until = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < until
        assert process is None or process.poll() is None, process.wait()
        time.sleep(0.002)
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def has_lines(folder: Path, lines: int) -> bool:
    return any(path.read_text().count("\n") >= lines for path in folder.rglob("metrics.jsonl"))


def test_two_processes_give_the_bits_of_one(alone, forks, settings, tmp_path):
    done = forks.start("train", *settings, *TWO, folder=tmp_path).wait().succeeded()
    run = made(tmp_path)
    assert_same(run, alone)
    assert RunFolder(run).manifest()["processes"] == 2
    assert done.out.count("\n") == (alone / "log.txt").read_text().count("\n")  # nothing is said twice


def test_a_killed_process_stops_the_run_which_then_goes_on_to_the_same_bits(
    alone, forks, runs, settings, tmp_path
):
    process = forks.start("train", *settings, *TWO, folder=tmp_path)
    wait_for(lambda: has_lines(tmp_path, 3), process)
    (other,) = children(process.pid)
    os.kill(other, signal.SIGKILL)
    done = process.wait()
    run = made(tmp_path)
    assert done.code == 128 + signal.SIGKILL
    assert done.err.splitlines() == [
        "metacli: process 2 of 2 was killed by SIGKILL",
        f"go on with: metacli resume {run.relative_to(tmp_path)}",
    ]
    assert (run / "log.txt").read_text().endswith(" process 2 of 2 was killed by SIGKILL\n")
    assert not (run / "report").exists()

    again = forks.start("resume", str(run), folder=tmp_path)
    wait_for(lambda: children(again.pid), again)
    wait_for(lambda: has_lines(tmp_path, 5), again)
    (other,) = children(again.pid)
    again.signal(signal.SIGTERM)
    done = again.wait()
    assert done.code == 143
    assert done.err.splitlines()[1].startswith("metacli: stopped by SIGTERM after step ")
    assert not alive(other)

    assert "resumed after step" in runs("resume", str(run)).succeeded().out
    assert_same(run, alone)


def test_when_the_first_process_is_killed_the_other_ends(forks, settings, tmp_path):
    process = forks.start("train", *settings, *TWO, "trainer.steps=100000", folder=tmp_path)
    wait_for(lambda: has_lines(tmp_path, 1), process)
    (other,) = children(process.pid)
    process.signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not alive(other))


def test_what_goes_wrong_in_all_processes_is_told_once(runs, settings):
    told = runs("train", *settings, *TWO, "optimizer.lr=1e30").message()
    assert "is no longer finite at step" in told or "the loss became" in told


def test_ranks_of_torchrun_give_the_bits_of_one_process(alone, settings, cache, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*torchrun, "-m", "metacli.cli", "train", *settings, *SHARED]
    environment = os.environ | {"METACLI_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    run = made(tmp_path)
    assert_same(run, alone)
    assert RunFolder(run).manifest()["processes"] == 2
    assert done.stdout.count("\n") == (alone / "log.txt").read_text().count("\n")
