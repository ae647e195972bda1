"""The folder of a sweep, and the states of its jobs."""

import os
import socket
import time

import pytest

from metacli.errors import UserError
from metacli.sweeps import folder
from metacli.sweeps.folder import create, open_sweep


@pytest.fixture
def sweep(make_sweep):
    return make_sweep((["seed=0"], {"seed": 0}), (["seed=1"], {"seed": 1}))


def test_sweeps_of_one_second_have_folders_of_their_own(monkeypatch, make_sweep):
    monkeypatch.setattr(time, "strftime", lambda _: "20261124-101500")
    assert len({make_sweep(([], {})).path for _ in range(20)}) == 20


def test_what_is_opened_is_what_was_created(sweep):
    assert open_sweep(sweep.path) == sweep
    first = sweep.jobs[0]
    assert (first.title, first.own, first.config["seed"]) == ("job 1/2", ("seed=0",), 0)


def test_folders_of_many_jobs_are_in_order(make_sweep):
    names = [job.path.name for job in make_sweep(*[([f"seed={n}"], {"seed": n}) for n in range(10)]).jobs]
    assert names[0] == "01"
    assert names == sorted(names)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda text: text[: len(text) // 2], "truncated or altered: it is no JSON"),
        (lambda text: text.replace("seed=1", "seed=2"), "altered: its checksum does not match"),
        (lambda text: "[]", "altered: its checksum does not match"),
    ],
)
def test_a_list_of_jobs_that_was_damaged_is_refused(change, told, sweep):
    file = sweep.path / "jobs.json"
    file.write_text(change(file.read_text()))
    with pytest.raises(UserError, match=told):
        open_sweep(sweep.path)


def test_a_sweep_of_another_format_is_refused(sweep, monkeypatch):
    monkeypatch.setattr(folder, "FORMAT", 2)
    with pytest.raises(UserError, match="sweep format 1, this metacli reads format 2"):
        open_sweep(sweep.path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"run\.root: cannot create .*file/sweeps/"):
        create(tmp_path / "file" / "sweeps", "", [], None)


def test_a_sweep_that_cannot_be_written_is_named(sweep):
    (sweep.path / ".lock").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*lock: Is a directory"), sweep.locked():
        pass


def test_a_job_goes_from_not_begun_to_interrupted_to_failed_to_finished(sweep, finish):
    job = sweep.jobs[0]
    assert job.state == "not begun"
    first = finish(job, 0.5, 0.1, name="1")
    (first / "report" / "report.json").unlink()
    assert (job.state, job.current().path) == ("interrupted", first)
    job.fail(2, "reason")
    assert (job.state, job.current()) == ("failed", None)
    second = finish(job, 0.5, 0.1, name="2")
    assert (job.state, job.current().path) == ("finished", second)


def test_a_damaged_record_of_a_failure_is_as_none(sweep, finish):
    job = sweep.jobs[0]
    run = finish(job, 0.5, 0.1)
    (run / "report" / "report.json").unlink()
    job.fail(2, "reason")
    (job.path / "failure.json").write_text('{"code": 2')
    assert job.state == "interrupted"


def test_who_works_on_a_job_stands_in_its_lock(sweep):
    job = sweep.jobs[0]
    assert (job.worker, job.worked_on) == ("", False)
    with job.locked():
        assert job.worker == f"{os.getpid()} {socket.gethostname()}"
        assert job.worked_on
    assert (job.worker, job.worked_on) == ("", False)


def test_only_a_living_process_of_this_machine_is_interrupted(sweep, monkeypatch):
    killed = []
    monkeypatch.setattr(os, "kill", lambda *arguments: killed.append(arguments))
    job = sweep.jobs[0]
    job.interrupt()
    job.path.mkdir()
    (job.path / ".lock").write_text(f"12345 {socket.gethostname()}")  # as a kill leaves it
    job.interrupt()
    assert killed == []
    with job.locked():
        job.interrupt()
    assert [process for process, _ in killed] == [os.getpid()]
