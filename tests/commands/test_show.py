"""metacli show: one run on one screen."""

import json
import shutil
import time

import pytest

SCREEN = 80


@pytest.fixture
def done(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "done")


@pytest.fixture
def unfinished(done):
    shutil.rmtree(done / "report")
    return done


def rows(text: str) -> dict[str, str]:
    """Label -> value, on one line."""
    found: dict[str, str] = {}
    label = ""
    for line in text.splitlines():
        label = line[:19].strip() or label
        found[label] = f"{found.get(label, '')} {line[19:].strip()}".strip()
    return found


def test_a_finished_run_is_shown_with_its_numbers_and_what_can_be_done_with_it(done, checks, tmp_path):
    shown = checks("show", "done").succeeded().out
    found = rows(shown)
    report = json.loads((done / "report" / "report.json").read_text())
    accuracy = report["metrics"]["accuracy"]
    assert found["run"] == "done"
    assert found["status"] == "finished, step 40/40"
    assert found["what"] == "maml on imagefolder, conv4_stride, seed 0"
    assert found["by"].startswith("metacli train dataset=imagefolder ")
    assert "'episode.test={ways: 5, shots: 1, queries: 2, count: 12}'" in found["by"]
    assert f"{100 * accuracy['mean']:.2f}" in found["accuracy"]
    assert f"{100 * accuracy['ci95']:.2f}" in found["accuracy"]
    assert found["result hash"] == report["result_hash"]
    assert found["bn_mode"].startswith("batch (transductive")
    assert "best.safetensors" in found["checkpoints/"]
    assert found["again"] == "metacli rerun done"
    assert len(shown.splitlines()) <= 40


def test_only_commands_are_wider_than_the_screen_as_they_are_to_be_copied(done, checks):
    wide = [line for line in checks("show", "done").succeeded().out.splitlines() if len(line) > SCREEN]
    assert all(line[19:].startswith("metacli ") for line in wide)
    assert len(wide) == 1  # the settings of these tests are many


def test_the_commands_it_names_work(done, checks):
    found = rows(checks("show", "done").succeeded().out)
    again = found["a row a class"].split()
    assert again[0] == "metacli"
    assert checks(*again[1:]).succeeded().out == (done / "report" / "report.txt").read_text()


def test_an_interrupted_run_is_shown_with_the_way_on_and_the_end_of_its_log(unfinished, checks):
    shown = checks("show", "done").succeeded().out
    found = rows(shown)
    assert found["status"] == "interrupted, step 40/40"
    assert found["go on"] == "metacli resume done"
    assert "accuracy" not in found
    assert shown.splitlines()[-1] == (unfinished / "log.txt").read_text().splitlines()[-1]


def test_a_failed_run_is_shown_with_the_reason(unfinished, checks):
    with (unfinished / "log.txt").open("a") as log:
        log.write("2026-11-24 00:00:00 failed: the loss became nan at step 7\n")
    found = rows(checks("show", "done").succeeded().out)
    assert found["status"] == "failed, step 40/40: the loss became nan at step 7"
    assert found["go on"] == "metacli resume done"
    assert found["otherwise"] == "metacli rerun done KEY=VALUE ..."


def test_a_running_run_is_shown_with_the_way_to_follow_it(forks, settings, checks, tmp_path):
    process = forks.start("train", *settings, "trainer.steps=100000", folder=tmp_path)
    try:
        until = time.monotonic() + 60
        while not (found := list(tmp_path.glob("runs/*/*/.lock"))):
            assert process.poll() is None, process.wait()
            assert time.monotonic() < until
            time.sleep(0.01)
        path = found[0].parent.relative_to(tmp_path)
        shown = rows(checks("show", str(path)).succeeded().out)
    finally:
        process.signal(9)
        process.wait()
    assert shown["status"].startswith("running")
    assert shown["follow"] == f"tail -f {path}/log.txt"
    assert "go on" not in shown


def test_evaluations_are_shown_with_their_run_and_by_themselves(done, runs, checks):
    runs("eval", "done", "episode.test.shots=2").succeeded()
    (evaluation,) = (done / "evaluations").iterdir()
    found = rows(checks("show", "done").succeeded().out)
    assert found["evaluation"].startswith("episode.test.shots=2: accuracy ")
    own = rows(checks("show", f"done/evaluations/{evaluation.name}").succeeded().out)
    assert own["by"] == "metacli eval done episode.test.shots=2"
    assert own["weights"] == "of done, trained by maml on imagefolder"
    assert "again" not in own


def test_a_damaged_report_is_named_and_the_rest_is_shown(done, checks):
    path = done / "report" / "report.json"
    path.write_bytes(path.read_bytes()[:-100])
    found = rows(checks("show", "done").succeeded().out)
    assert found["report"].startswith("done/report/report.json: truncated or altered")
    assert "accuracy" not in found
    assert found["what"] == "maml on imagefolder, conv4_stride, seed 0"


def test_a_damaged_file_of_a_report_is_named_and_not_printed(done, checks):
    for name in ("predictions.csv", "report.txt"):
        path = done / "report" / name
        path.write_bytes(path.read_bytes().replace(b"0", b"1"))
        assert (
            f"done/report/{name}: truncated or altered"
            in rows(checks("show", "done").succeeded().out)["report"]
        )
    told = checks("show", "done", "--report").message()
    assert told.startswith(
        "metacli: done/report/report.txt: truncated or altered: its checksum does not match\n"
    )


@pytest.mark.parametrize("name", ["config.yaml", "manifest.json"])
def test_a_damaged_run_is_named(name, done, checks):
    (done / name).write_bytes((done / name).read_bytes()[:-20])
    assert checks("show", "done").message().startswith(f"metacli: done/{name}: ")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "show: which run?\n"),
        (["done", "done"], "show: one run at a time\n"),
        (["done", "--reprot"], "--reprot: no such flag\n"),
        (["nowhere"], "nowhere: not a run\n"),
        (["."], ".: not a run, but a folder of 1\nmetacli runs .\n"),
    ],
)
def test_a_mistake_is_told(arguments, told, done, checks):
    assert checks("show", *arguments).message().startswith(f"metacli: {told}")


def test_a_report_that_is_not_there_yet_is_told(unfinished, checks):
    assert checks("show", "--report", "done").message() == "metacli: done: no report yet\nmetacli show done\n"
