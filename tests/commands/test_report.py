"""metacli report: made anew, the same as it was, or nothing happens."""

import json
import shutil
from pathlib import Path

import pytest

from metacli.checkpoint import load_weights, save_weights
from metacli.rundir import RunFolder, _write_manifest


@pytest.fixture
def copy(finished, tmp_path):
    """The finished run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.fixture
def begun(copy):
    """A run that has not come to its result."""
    folder = RunFolder(copy)
    manifest = {key: value for key, value in folder.manifest().items() if key != "result_hash"}
    _write_manifest(copy / "manifest.json", manifest)
    return copy


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_report_that_is_gone_comes_back_to_the_byte_but_for_the_time_in_all(copy, runs):
    before = files(copy / "report")
    for name in ("report.html", "confusion.png", "report.csv"):
        (copy / "report" / name).unlink()
    runs("report", str(copy)).succeeded()
    after = files(copy / "report")
    assert after.keys() == before.keys()
    command = str(copy).encode()  # the page says how to repeat it, and a copy lies elsewhere
    assert {name for name in before if after[name] != before[name]} <= {"report.html", "report.json"}
    assert command in after["report.html"]


def test_without_the_old_report_the_time_in_all_is_not_known(copy, runs):
    before = json.loads((copy / "report" / "report.json").read_text())
    shutil.rmtree(copy / "report")
    runs("report", str(copy)).succeeded()
    after = json.loads((copy / "report" / "report.json").read_text())
    assert after["run"].pop("seconds_total") is None
    assert before["run"].pop("seconds_total") > 0
    for summary in (before, after):  # the page tells the time and how to repeat it
        del summary["checksum"], summary["files"]["report.html"]
    assert after == before


def test_an_evaluation_has_its_report_made_anew_too(copy, runs):
    runs("eval", str(copy), "episode.test.queries=2").succeeded()
    (evaluation,) = (copy / "evaluations").iterdir()
    before = files(evaluation / "report")
    (evaluation / "report" / "report.txt").unlink()
    runs("report", str(evaluation)).succeeded()
    assert files(evaluation / "report") == before


def test_weights_that_give_another_result_leave_the_report_as_it_was(copy, runs):
    best, before = copy / "checkpoints" / "best.safetensors", files(copy / "report")
    weights = load_weights(best)
    save_weights(best, {name: tensor + 0.1 for name, tensor in weights.items()})
    message = runs("report", str(copy)).message()
    assert f"{copy}: its weights give another result now" in message
    assert f"metacli eval {copy}" in message
    assert files(copy / "report") == before


def test_what_is_no_finished_run_is_named(begun, checks):
    assert "report: which run?" in checks("report").message()
    assert "nowhere: not a run" in checks("report", "nowhere").message()
    assert f"metacli resume {begun}" in checks("report", str(begun)).message()
