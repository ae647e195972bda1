"""The folder of a run: made whole, opened only where it is as it was written."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from metacli.errors import UserError
from metacli.rundir import FORMAT, RunFolder, create, open_run, require_writable

CONFIG = {"seed": 0, "optimizer": {"lr": 1e-05}, "dataset": {"root": "Fotos/Äpfel", "csv": None}}
HOW = {"overrides": ["seed=0"], "choices": {"paradigm": "maml"}}


@pytest.fixture
def run(tmp_path) -> RunFolder:
    return create(tmp_path / "runs", CONFIG, HOW, {"device": "cpu", "threads": 2})


def test_what_was_written_is_read_back(run):
    again = open_run(run.path)
    assert again.config() == CONFIG
    assert again.overrides() == HOW["overrides"]
    assert again.choices() == HOW["choices"]
    assert again.manifest()["device"] == "cpu"
    assert again.manifest()["format"] == FORMAT


def test_runs_made_at_the_same_moment_have_names_of_their_own(tmp_path):
    made = {create(tmp_path, CONFIG, HOW, {}).path for _ in range(20)}
    assert len(made) == 20


def test_the_files_are_plain_yaml_and_json(run):
    assert yaml.safe_load((run.path / "config.yaml").read_text(encoding="utf-8")) == CONFIG
    assert json.loads((run.path / "manifest.json").read_text(encoding="utf-8"))["threads"] == 2
    assert "Äpfel" in (run.path / "config.yaml").read_text(encoding="utf-8")


def test_facts_added_to_the_manifest_stay_beside_the_others(run):
    run.update_manifest(result_hash="abc")
    run.update_manifest(result_hash="abd", episode_hash="e")
    manifest = open_run(run.path).manifest()
    assert (manifest["result_hash"], manifest["episode_hash"], manifest["threads"]) == ("abd", "e", 2)


@pytest.mark.parametrize("name", ["config.yaml", "overrides.yaml", "manifest.json"])
def test_no_change_of_a_single_bit_goes_unnoticed(name, run):
    path = run.path / name
    content = path.read_bytes()
    for position in range(len(content)):
        for bit in range(8):
            path.write_bytes(
                content[:position] + bytes([content[position] ^ 1 << bit]) + content[position + 1 :]
            )
            with pytest.raises(UserError) as caught:
                _read_all(run.path)
            assert name in str(caught.value) or "format" in str(caught.value)
    path.write_bytes(content)
    _read_all(run.path)


@pytest.mark.parametrize("name", ["config.yaml", "overrides.yaml", "manifest.json"])
def test_no_truncation_goes_unnoticed(name, run):
    path = run.path / name
    content = path.read_bytes()
    for length in range(len(content) - (name == "manifest.json")):  # its last byte is a line's end
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=name):
            _read_all(run.path)


@pytest.mark.parametrize("name", ["config.yaml", "manifest.json"])
def test_a_folder_without_them_is_no_run(name, run):
    (run.path / name).unlink()
    with pytest.raises(UserError, match="not a run"):
        open_run(run.path)


@pytest.mark.parametrize("place", ["nowhere", "file", "."])
def test_what_is_no_run_is_said_to_be_none(place, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="not a run"):
        open_run(tmp_path / place)


@pytest.mark.parametrize("written", [FORMAT + 1, 0, None, "1"])
def test_a_run_of_another_format_is_refused_with_both_numbers(written, run):
    path = run.path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": written}))
    with pytest.raises(UserError, match=f"run format {written}, this metacli reads format {FORMAT}"):
        open_run(run.path)


def test_a_run_is_worked_on_by_one_process_at_a_time(run):
    program = (
        "import sys; from metacli.rundir import open_run\n"
        "with open_run(sys.argv[1]).locked():\n    print('in', flush=True)\n    sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"in\n"
        with pytest.raises(UserError, match="another process works on this run"), run.locked():
            pass
        assert run.worked_on
        other.kill()  # and the lock goes with it
    assert not run.worked_on
    with run.locked():
        pass


def test_a_run_is_not_worked_on_before_its_first_process(run):
    assert not run.worked_on
    assert not (run.path / ".lock").exists()


def test_to_look_whether_a_run_is_worked_on_does_not_keep_others_from_it(run):
    with run.locked():
        pass
    with (run.path / ".lock").open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(0.03, lambda: fcntl.flock(looking, fcntl.LOCK_UN)).start()
        with run.locked():
            assert run.worked_on


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("the loss became nan", "lower optimizer.lr"), "failed: the loss became nan"),
        (ValueError("no\nlines"), "failed: ValueError: no"),
        (ZeroDivisionError(), "failed: ZeroDivisionError: "),
    ],
)
def test_a_failure_is_one_line_of_the_log(error, line, run):
    run.log_failure(error)
    assert (run.path / "log.txt").read_text().partition(" failed")[1:] == (" failed", f"{line[6:]}\n")


def test_a_failure_that_cannot_be_written_down_hides_no_other(run):
    (run.path / "log.txt").mkdir()
    run.log_failure(ValueError("no"))


def test_lines_of_lost_steps_are_gone_once_the_history_is_rewritten(run):
    for step in range(5):
        run.add_metrics({"step": step})
    run.write_metrics([{"step": 0}, {"step": 1}])
    run.add_metrics({"step": 2})
    assert [json.loads(line)["step"] for line in run.metrics.read_text().splitlines()] == [0, 1, 2]


def test_a_log_line_begins_with_the_time(run):
    run.log("hallo")
    date, time, line = (run.path / "log.txt").read_text().rstrip("\n").split(" ", 2)
    assert (len(date), len(time), line) == (10, 8, "hallo")


def test_a_run_folder_that_has_gone_is_a_plain_error(run):
    run.path.rename(run.path.with_name("moved"))
    for write in (lambda: run.log("hallo"), lambda: run.add_metrics({"step": 1})):
        with pytest.raises(UserError, match=r"cannot write .*: No such file or directory"):
            write()


def test_a_place_that_can_be_written_is_known_before_anything_is(tmp_path):
    require_writable(tmp_path / "a" / "b")
    require_writable(Path("c"))
    assert not (tmp_path / "a").exists()


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="no folder here that nobody can write to")
def test_a_folder_that_root_cannot_write_to_either_is_named():
    with pytest.raises(UserError, match=r"run\.root: cannot create /proc/runs: "):
        require_writable(Path("/proc/runs"))


def test_a_file_where_a_folder_should_be_is_named(tmp_path):
    (tmp_path / "runs").write_text("")
    for attempt in (require_writable, lambda parent: create(parent, CONFIG, HOW, {})):
        with pytest.raises(UserError, match=r"run\.root: cannot create .*runs"):
            attempt(tmp_path / "runs" / "maml")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"run\.root: cannot create .*no permission"):
        require_writable(tmp_path / "runs")
    tmp_path.chmod(0o700)


def _read_all(path: Path) -> None:
    run = open_run(path)
    run.config()
    run.overrides()
    run.choices()
    run.manifest()
