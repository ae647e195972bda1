"""Kills at any moment, full disks, folders that cannot be written, many starts at once: nothing is lost, half-written
or different for it.

    KILLS=200 ROOM=1 python -m pytest tests/commands/test_faults.py -rP         more of each, and what was met
"""

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from metacli.files import load_arrays
from metacli.rundir import RunFolder
from metacli.sweeps.folder import open_sweep

KILLS = int(os.environ.get("KILLS", "20"))
OF_SWEEPS = KILLS // 10
ROOM = int(os.environ.get("ROOM", "8"))  # more files that fit on the disk each time
STARTS = 8
STEPS = 3
# Files that tell when or how long.
TIMED = {"manifest.json", "log.txt", "report.json", "report.html", "report.txt", "last.pt"}


@pytest.fixture(scope="module")
def short(settings) -> list[str]:
    """A checkpoint after each of few steps: faults often fall into one."""
    return [*settings, f"trainer={{steps: {STEPS}, val_every: 1, log_every: 1}}"]


@pytest.fixture(scope="module")
def whole(forks, short, tmp_path_factory) -> Path:
    """A run that met no fault."""
    folder = tmp_path_factory.mktemp("whole")
    forks.start("train", *short, folder=folder).wait().succeeded()
    return the_run(folder)


@pytest.fixture
def killed(forks, short, tmp_path) -> Callable[..., Iterator[Path]]:
    """Start a command again and again and kill it; the folder of each. "whole" is where it came to its end."""

    def begin(name: str, command: Sequence[str]) -> tuple[Path, Any]:
        (tmp_path / name).mkdir()
        return tmp_path / name, forks.start(*command, *short, folder=tmp_path / name)

    def until_it_is_there(folder: Path, process: Any) -> float:
        started = time.monotonic()
        while process.poll() is None and not list(folder.rglob("manifest.json")):
            time.sleep(0.002)
        return time.monotonic() - started

    def folders(*command: str, times: int) -> Iterator[Path]:
        folder, process = begin("whole", command)
        before, started = until_it_is_there(folder, process), time.monotonic()
        process.wait().succeeded()
        after = time.monotonic() - started
        random = Random(0)
        for number in range(times):
            folder, process = begin(f"{number:03d}", command)
            if number % 5:  # counted from where it is there, however busy the machine is
                until_it_is_there(folder, process)
            time.sleep(random.random() * (after if number % 5 else before))
            if process.poll() is None:
                process.signal(signal.SIGKILL)
            process.wait()
            yield folder

    return folders


def test_a_run_that_is_killed_at_any_moment_goes_on_to_the_same_bits(killed, runs, whole):
    met: Counter[str] = Counter()
    for folder in killed("train", times=KILLS - OF_SWEEPS):
        met[stage(folder)] += 1
        for run in folder.glob("runs/*/*"):
            if (run / "manifest.json").exists():
                runs("resume", str(run)).succeeded()
                assert_same(run, whole)
            else:
                assert runs("resume", str(run)).message().startswith(f"metacli: {run}: not a run\n")
    print(f"{met.total()} kills of a run:", dict(met))


def test_a_sweep_that_is_killed_at_any_moment_goes_on_to_the_same_bits(killed, runs, tmp_path):
    met: Counter[str] = Counter()
    for folder in killed("sweep", "seed=0,1", times=OF_SWEEPS):
        met[stage(folder)] += 1
        for sweep in folder.glob("runs/sweeps/*"):
            if (sweep / "jobs.json").exists():
                runs("sweep", "--resume", str(sweep)).succeeded()
                (unbroken,) = tmp_path.glob("whole/runs/sweeps/*")
                assert_same_sweep(sweep, unbroken)
            else:
                told = runs("sweep", "--resume", str(sweep)).message()
                assert told.startswith(f"metacli: {sweep}: not a sweep\n")
    print(f"{met.total()} kills of a sweep:", dict(met))


def test_a_run_whose_disk_fills_up_at_any_write_says_so_and_goes_on_to_the_same_bits(
    forks, runs, short, whole, tmp_path
):
    met: Counter[str] = Counter()
    for room in count(ROOM // 2, ROOM):
        folder = tmp_path / f"{room:03d}"
        folder.mkdir()
        done = forks.start("train", *short, folder=folder, room=room).wait()
        if done.code == 0:
            break
        assert "No space left on device\ncheck " in done.message()
        assert not list(folder.rglob("*.partial"))
        met[stage(folder)] += 1
        for manifest in folder.rglob("manifest.json"):
            runs("resume", str(manifest.parent)).succeeded()
            assert_same(manifest.parent, whole)
    print(f"{met.total()} full disks:", dict(met))
    assert len(met) >= 3


@pytest.mark.parametrize(
    ("command", "place"),
    [("eval", "evaluations"), ("eval", ".lock"), ("resume", "report"), ("resume", "checkpoints")],
)
def test_a_folder_of_a_run_that_cannot_be_written_is_named(command, place, runs, whole, tmp_path):
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    shutil.rmtree(run / "report")
    if place == ".lock":
        (run / place).unlink()
        (run / place).mkdir()
    else:
        shutil.rmtree(run / place, ignore_errors=True)
        (run / place).write_text("mine")
    before = files(run)
    assert str(run / place) in runs(command, str(run)).message()
    assert {name for name, content in files(run).items() if content != before.get(name)} <= {"log.txt"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_that_may_only_be_read_is_left_as_it_is(runs, whole, tmp_path):
    run = Path(shutil.copytree(whole, tmp_path / "run"))
    shutil.rmtree(run / "report")
    for folder in (run, run / "checkpoints"):
        folder.chmod(0o500)
    for command in ("eval", "resume"):
        assert "Permission denied" in runs(command, str(run)).message()
    for folder in (run, run / "checkpoints"):
        folder.chmod(0o700)


def test_a_cache_that_cannot_be_written_changes_nothing(runs, short, whole, tmp_path):
    (tmp_path / "cache").write_text("mine")
    runs("train", *short, METACLI_CACHE=str(tmp_path / "cache")).succeeded()
    assert_same(the_run(tmp_path / "runs"), whole)
    assert (tmp_path / "cache").read_text() == "mine"


def test_runs_that_start_together_do_not_meet(forks, short, whole, tmp_path):
    cache = tmp_path / "cache"
    environment = {"METACLI_CACHE": str(cache)}
    started = [forks.start("train", *short, folder=tmp_path, environment=environment) for _ in range(STARTS)]
    for process in started:
        process.wait().succeeded()
    made = list(tmp_path.glob("runs/*/*"))
    assert len(made) == STARTS
    for run in made:
        assert_same(run, whole)
    (file,) = cache.iterdir()
    assert load_arrays(file) is not None


def stage(folder: Path) -> str:
    """How far the run in it was, or the last one of a sweep."""
    manifests = sorted(folder.rglob("manifest.json"), key=lambda path: path.stat().st_mtime_ns)
    if not manifests:
        return "before it was there"
    run = RunFolder(manifests[-1].parent)
    if not run.metrics.exists():
        return "before its first step"
    if run.metrics.read_bytes().count(b"\n") < STEPS:
        return "in training"
    return "at its end" if run.finished else "in its report"


def the_run(folder: Path) -> Path:
    (manifest,) = folder.rglob("manifest.json")
    return manifest.parent


def files(run: Path) -> dict[str, bytes]:
    """All but the lock, which may come after a kill."""
    found = (path for path in run.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(run).as_posix(): path.read_bytes() for path in found}


def assert_same(run: Path, whole: Path) -> None:
    """The same files, nothing beside them, and the same bits."""
    found, wanted = files(run), files(whole)
    assert found.keys() == wanted.keys()
    for name in found:
        assert found[name] == wanted[name] or name.rpartition("/")[2] in TIMED, name
    facts, expected = RunFolder(run).manifest(), RunFolder(whole).manifest()
    assert {facts[key] == expected[key] for key in ("result_hash", "episode_hash", "headline")} == {True}
    report, other = (json.loads(content["report/report.json"]) for content in (found, wanted))
    for key in ("metrics", "per_class", "averages", "protocol", "result_hash"):
        assert report[key] == other[key]


def assert_same_sweep(sweep: Path, whole: Path) -> None:
    for name in ("table.csv", "table.md"):
        assert (sweep / name).read_bytes() == (whole / name).read_bytes()
    for job, other in zip(open_sweep(sweep).jobs, open_sweep(whole).jobs, strict=True):
        assert_same(the_run(job.path), the_run(other.path))
