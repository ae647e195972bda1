"""Sweeps: the grid, failures, interruptions, launchers."""

import csv
import json
import shutil
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from metacli.commands.work import work
from metacli.files import digest
from metacli.sweeps.folder import create, open_sweep

BITS = ["metrics.jsonl", "checkpoints/best.safetensors", "report/predictions.csv", "report/episodes.csv"]
LAUNCHERS = {
    "joblib": ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"],
    "submitit": ["hydra/launcher=submitit_local"],
}


@pytest.fixture(scope="session")
def short(settings) -> list[str]:
    return [*settings, "trainer.steps=20"]


@pytest.fixture(scope="session")
def unbroken(forks, short, tmp_path_factory) -> Path:
    """A sweep of two jobs that nothing interrupted. Look at it, copy it, do not change it."""
    folder = tmp_path_factory.mktemp("unbroken")
    forks.start("train", "-m", *short, "seed=0,1", folder=folder).wait().succeeded()
    return the_sweep(folder)


@pytest.fixture(scope="session")
def of_six(forks, short, tmp_path_factory) -> tuple:
    """The folder where a sweep of six jobs was run, and what it said."""
    folder = tmp_path_factory.mktemp("six")
    command = ["sweep", "paradigm=maml,protonet", "seed=0,1,2", *short, "trainer.steps=1"]
    return folder, forks.start(*command, folder=folder).wait().succeeded()


@pytest.fixture
def begun(forks, short, tmp_path):
    """Start the sweep of `unbroken`; return its folder and process once a job's history has some lines."""
    processes = []

    def start(*overrides: str, job: int = 1, lines: int = 1):
        process = forks.start("sweep", *short, "seed=0,1", *overrides, folder=tmp_path)
        processes.append(process)
        while True:
            assert process.poll() is None, process.wait()
            histories = list(tmp_path.glob(f"runs/sweeps/*/{job}/*/metrics.jsonl"))
            if histories and histories[0].read_text().count("\n") >= lines:
                return the_sweep(tmp_path), process
            time.sleep(0.002)

    yield start
    for process in processes:
        if process.poll() is None:
            process.signal(signal.SIGKILL)
            process.wait()


def the_sweep(folder: Path) -> Path:
    (sweep,) = (folder / "runs" / "sweeps").iterdir()
    return sweep


def the_run(sweep: Path, job: int) -> Path:
    (manifest,) = (sweep / str(job)).glob("*/manifest.json")
    return manifest.parent


def table(sweep: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((sweep / "table.csv").read_text().splitlines()))


def jobs_of(sweep: Path) -> list[dict]:
    return json.loads((sweep / "sweep.json").read_text())["jobs"]


def assert_same(sweep: Path, other: Path) -> None:
    for name in ("table.csv", "table.md"):
        assert (sweep / name).read_bytes() == (other / name).read_bytes()
    for job in (1, 2):
        for name in BITS:
            assert (the_run(sweep, job) / name).read_bytes() == (the_run(other, job) / name).read_bytes(), (
                name
            )


def times(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".lock"}


def test_a_sweep_is_a_run_for_every_combination_and_a_row_for_every_configuration(of_six):
    folder, done = of_six
    sweep = the_sweep(folder)
    wanted = [(paradigm, seed) for paradigm in ("maml", "protonet") for seed in (0, 1, 2)]
    for number, (paradigm, seed) in enumerate(wanted, 1):
        config = yaml.safe_load((the_run(sweep, number) / "config.yaml").read_text())
        assert (config["paradigm"]["name"], config["seed"]) == (paradigm, seed)
        assert f"\njob {number}/6: paradigm={paradigm} seed={seed}\n" in done.out
    maml, protonet = table(sweep)
    assert (maml["configuration"], protonet["configuration"]) == ("paradigm=maml", "paradigm=protonet")
    assert (maml["metric"], maml["seeds"], maml["missing"]) == ("accuracy", "0 1 2", "0")
    assert maml["episodes"] == "12"
    reports = [json.loads((the_run(sweep, job) / "report/report.json").read_text()) for job in (1, 2, 3)]
    accuracies = [report["metrics"]["accuracy"]["mean"] for report in reports]
    assert float(maml["mean"]) == pytest.approx(sum(accuracies) / 3)
    assert f"\nparadigm=maml      accuracy  {100 * float(maml['mean']):.2f} ± " in done.out
    assert "\n| paradigm=maml | accuracy | " in (sweep / "table.md").read_text()
    assert [job["state"] for job in jobs_of(sweep)] == ["finished"] * 6


def test_a_job_that_fails_keeps_no_other_from_running_and_is_done_anew_on_resume(runs, short, tmp_path):
    done = runs("sweep", *short, "trainer.steps=4", "optimizer.lr=1e30,0.01")
    assert "the loss became nan at step" in done.message()
    sweep = the_sweep(tmp_path)
    given_up, kept = the_run(sweep, 1), times(the_run(sweep, 2))
    assert "job 1/2 failed: optimizer.lr=1e+30\n  the loss became nan at step" in done.out
    assert f"  log: {given_up.relative_to(tmp_path)}/log.txt\n" in done.out
    assert f"\ngo on with: metacli sweep --resume {sweep.relative_to(tmp_path)}\n" in done.out
    assert [row["missing"] for row in table(sweep)] == ["1", "0"]
    again = runs("sweep", "--resume", str(sweep))
    assert again.code == 2
    assert "2 jobs, 1 done\n" in again.out
    assert "job 2/2" not in again.out
    assert times(the_run(sweep, 2)) == kept
    attempts = {path.parent for path in (sweep / "1").glob("*/manifest.json")}
    assert len(attempts) == 2
    assert given_up in attempts


def test_an_error_of_ours_is_a_failure_of_its_job_alone(unbroken, monkeypatch, tmp_path, capsys):
    def broken(*arguments, **keywords):
        raise RuntimeError("a bug")

    monkeypatch.setattr("metacli.api.train", broken)
    (first, *_) = open_sweep(unbroken).jobs
    planned_job = {"overrides": ["seed=0"], "choices": dict(first.choices), "config": first.config}
    (job,) = create(tmp_path, "", [planned_job], None).jobs
    assert work(job) == 1
    assert job.state == "failed"
    assert capsys.readouterr().err.startswith("metacli: RuntimeError: a bug\ntraceback: ")
    assert "in broken\n" in (job.path / "traceback.txt").read_text()


def test_a_killed_sweep_goes_on_to_the_same_bits(begun, runs, unbroken):
    sweep, process = begun(job=2, lines=2)
    process.signal(signal.SIGKILL)
    assert process.wait().code == -signal.SIGKILL
    run, before = the_run(sweep, 2), times(sweep / "1")
    done = runs("sweep", "--resume", str(sweep)).succeeded()
    assert "2 jobs, 1 done\njob 2/2: seed=1\nresumed after step" in done.out
    assert the_run(sweep, 2) == run
    assert times(sweep / "1") == before
    assert_same(sweep, unbroken)


def test_what_a_kill_left_of_a_run_that_was_being_made_is_removed(runs, short, unbroken, tmp_path):
    sweep = tmp_path / "sweep"
    shutil.copytree(unbroken, sweep)
    run = the_run(sweep, 2)
    (run / "manifest.json").unlink()
    runs("sweep", "--resume", str(sweep)).succeeded()
    assert not run.exists()
    assert_same(sweep, unbroken)


def test_a_damaged_report_is_made_again_and_not_believed(runs, unbroken, tmp_path):
    sweep = tmp_path / "sweep"
    shutil.copytree(unbroken, sweep)
    file = the_run(sweep, 1) / "report" / "report.json"
    file.write_text(file.read_text().replace('"mean": 0.', '"mean": 0.9', 1))
    assert "2 jobs, 1 done\n" in runs("sweep", "--resume", str(sweep)).succeeded().out
    assert_same(sweep, unbroken)


def test_a_resumed_sweep_needs_no_option_that_it_was_composed_of(begun, runs, short, tmp_path):
    options = tmp_path / "options" / "trainer"
    options.mkdir(parents=True)
    (options / "mine.yaml").write_text("defaults: [short]\n")
    sweep, process = begun("trainer=mine", "--config-dir", str(options.parent))
    process.signal(signal.SIGKILL)
    process.wait()
    shutil.rmtree(options.parent)
    runs("sweep", "--resume", str(sweep)).succeeded()
    assert [job["state"] for job in jobs_of(sweep)] == ["finished"] * 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_the_sweep_and_says_how_to_go_on(number, code, begun, runs, unbroken, tmp_path):
    sweep, process = begun(job=1, lines=2)
    process.signal(number)
    done = process.wait()
    assert done.code == code
    *_, stopped, hint = done.err.splitlines()
    assert stopped.startswith(f"metacli: stopped by {number.name}")
    assert hint == f"go on with: metacli sweep --resume {sweep.relative_to(tmp_path)}"
    assert [job.state for job in open_sweep(sweep).jobs] == ["interrupted", "not begun"]
    runs("sweep", "--resume", str(sweep)).succeeded()
    assert_same(sweep, unbroken)


def test_two_processes_do_not_work_on_one_sweep(begun, checks):
    sweep, _ = begun("trainer.steps=100000")
    told = checks("sweep", "--resume", str(sweep)).message()
    assert told == f"metacli: {sweep}: another process works on this sweep\nwait for it, or stop it\n"


def test_a_job_that_a_process_of_a_dead_sweep_still_works_on_is_waited_for(forks, unbroken, tmp_path):
    sweep = tmp_path / "sweep"
    shutil.copytree(unbroken, sweep)
    (the_run(sweep, 1) / "report" / "report.json").unlink()
    with open_sweep(sweep).jobs[0].locked():
        process = forks.start("sweep", "--resume", str(sweep), folder=tmp_path)
        said = process.output.with_suffix(".out")
        while not (said.exists() and "job 1/2: another process works on it; waiting" in said.read_text()):
            assert process.poll() is None, process.wait()
            time.sleep(0.01)
        shutil.copy(the_run(unbroken, 1) / "report" / "report.json", the_run(sweep, 1) / "report")
    done = process.wait().succeeded()
    assert "resumed after step" not in done.out


@pytest.mark.parametrize(("launcher", "jobs"), [("joblib", [1, 2]), ("submitit", [2])])
def test_launched_jobs_come_to_the_same_bits(launcher, jobs, runs, unbroken, tmp_path):
    pytest.importorskip(f"hydra_plugins.hydra_{launcher}_launcher")
    sweep = tmp_path / "sweep"
    shutil.copytree(unbroken, sweep)
    for job in jobs:
        shutil.rmtree(sweep / str(job))
    done = runs("sweep", "--resume", str(sweep), *LAUNCHERS[launcher]).succeeded()
    for job in jobs:
        assert f"\njob {job}/2: seed={job - 1}\n" in done.out
        assert f"\njob {job}/2 finished: accuracy " in done.out
        assert "\nstep 10/20 " in (sweep / str(job) / "output.txt").read_text()
    assert "step 10/20" not in done.out
    assert_same(sweep, unbroken)


def test_a_signal_has_launched_jobs_save_and_no_other_begin(begun, tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    sweep, process = begun("trainer.steps=100000", "seed=0,1,2", *LAUNCHERS["joblib"])
    process.signal(signal.SIGINT)
    done = process.wait()
    assert done.code == 130
    assert done.err.splitlines() == [
        "stopping: the jobs under way save and end; once more to stop now",
        "metacli: stopped by SIGINT",
        f"go on with: metacli sweep --resume {sweep.relative_to(tmp_path)}",
    ]
    first, _, last = (job.state for job in open_sweep(sweep).jobs)
    assert (first, last) == ("interrupted", "not begun")
    assert "stopped by SIGINT after step" in (sweep / "1" / "output.txt").read_text()


def test_a_launcher_that_is_not_there_is_named(checks, tmp_path):
    told = checks("sweep", "seed=0,1", "hydra/launcher=jobblib").message()
    assert told.startswith('metacli: hydra/launcher=jobblib: no such launcher\ndid you mean "joblib"?')
    there = find_spec("hydra_plugins")  # which is no package of Hydra's own
    missing = next(
        (name for name in LAUNCHERS if not (there and find_spec(f"hydra_plugins.hydra_{name}_launcher"))),
        None,
    )
    if missing:
        told = checks("sweep", "seed=0,1", *LAUNCHERS[missing]).message()
        assert "not installed\nit is an extra: pip install 'metacli[launchers]'" in told
    assert list(tmp_path.iterdir()) == []


def test_the_launcher_of_a_sweep_may_not_name_code(runs, unbroken, tmp_path):
    sweep = tmp_path / "sweep"
    shutil.copytree(unbroken, sweep)
    shutil.rmtree(sweep / "1")
    basic = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
    launcher = {"_target_": basic, "more": [{"_target_": "os.abort"}]}
    facts = json.loads((sweep / "jobs.json").read_text()) | {"launcher": launcher}
    del facts["checksum"]
    facts["checksum"] = digest(json.dumps(facts, sort_keys=True).encode())
    (sweep / "jobs.json").write_text(json.dumps(facts))
    assert "the values of its launcher name code" in runs("sweep", "--resume", str(sweep)).message()


@pytest.mark.parametrize(
    ("arguments", "told"),
    {
        "the same job twice": (
            ["sweep", "seed=0,0"],
            "jobs 1 and 2 are the same: seed=0\ngive each value once",
        ),
        "two folders": (["sweep", "run.root=a,b"], "run.root=a,b: a sweep has one folder\n"),
        "a launcher without a sweep": (
            ["train", "hydra/launcher=basic"],
            "hydra/launcher=basic: only a sweep has a launcher\n",
        ),
        "a setting that the launcher lacks": (["sweep", "hydra.launcher.n_jobs=2"], "hydra.launcher.n_jobs"),
        "one config": (["sweep", "--cfg", "job"], "--cfg: shows one config, not those of a sweep\n"),
        "one config of train": (
            ["train", "-m", "--info"],
            "--info: shows one config, not those of a sweep\n",
        ),
        "a range of nothing": (
            ["sweep", "seed=range(3,0)", "paradigm=maml,protonet"],
            "seed=range(3,0): no values, so there are no jobs\n",
        ),
        "options that there are not": (["sweep", "paradigm=glob(x*)"], "paradigm=glob(x*): no values"),
        "more values than can be counted": (
            ["sweep", "optimizer.lr=interval(0,1)"],
            "interval(...): there is no end of values between two\n",
        ),
        "two launchers": (
            ["sweep", "seed=0,1", "hydra/launcher=basic,joblib"],
            "hydra/launcher=basic,joblib: all jobs of a sweep have one launcher\n",
        ),
        "two settings of a launcher": (
            ["sweep", "hydra/launcher=joblib", "hydra.launcher.n_jobs=1,2"],
            "hydra.launcher.n_jobs=1,2: all jobs of a sweep have one launcher\n",
        ),
        "another sweeper": (
            ["sweep", "hydra/sweeper=optuna"],
            "hydra/sweeper=optuna: no such option\nknown: basic\n",
        ),
        "no folder to resume": (["sweep", "--resume"], "--resume: which sweep?\n"),
        "no sweep": (["sweep", "--resume", "nowhere"], "nowhere: not a sweep\n"),
        "other settings": (
            ["sweep", "--resume=nowhere", "seed=3"],
            "--resume takes no overrides but a launcher: seed=3\n",
        ),
    }.values(),
)
def test_a_mistake_is_named_and_nothing_is_written(arguments, told, checks, tmp_path):
    assert told in checks(*arguments).message()
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_is_called_what_run_name_says_but_not_over_another(runs, checks, short, tmp_path):
    runs("sweep", *short, "trainer.steps=1", "run.name=mine").succeeded()
    assert (tmp_path / "runs" / "sweeps" / "mine" / "table.md").exists()
    told = checks("sweep", *short, "run.name=mine").message()
    assert "run.name=mine: runs/sweeps/mine is there already\n" in told
    assert "metacli sweep --resume runs/sweeps/mine" in told
