import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import metacli
from metacli.errors import UserError
from metacli.files import write_json
from metacli.report import write
from metacli.report.read import read_report
from metacli.report.write import write_report

FILES = {
    "report.json",
    "report.txt",
    "report.csv",
    "report.html",
    "predictions.csv",
    "episodes.csv",
    "confusion.png",
    "learning_curve.png",
    "episodes.png",
    "support.png",
}


@pytest.fixture
def write_to(results, summary, history, picture):
    """Writes the report into a folder; keyword arguments take the place of parts of it."""

    def write_with(folder: Path, *, results=results, picture=picture) -> None:
        shown = dataclasses.replace(results, picture=picture)
        write_report(folder, shown, summary, history, "seed: 0\n", "metacli rerun runs/a")

    return write_with


def test_the_folder_holds_every_file_and_nothing_else(tmp_path, write_to, summary):
    write_to(tmp_path / "report")
    assert {path.name for path in (tmp_path / "report").iterdir()} == FILES
    written = json.loads((tmp_path / "report" / "report.json").read_text("utf-8"))
    assert written == read_report(tmp_path / "report") | {"checksum": written["checksum"]}
    assert {key: written[key] for key in summary} == summary
    assert "猫の絵" in (tmp_path / "report" / "report.html").read_text("utf-8")


def test_the_same_results_give_the_same_bytes(tmp_path, write_to):
    write_to(tmp_path / "a")
    write_to(tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_items_that_are_no_images_leave_out_the_picture_of_the_support_set(tmp_path, write_to):
    write_to(tmp_path, picture=None)
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"support.png"}


def test_report_json_comes_when_all_else_is_there(tmp_path, write_to, monkeypatch):
    before = []

    def write_json_last(path, value):
        before.extend(file.name for file in tmp_path.iterdir())
        write_json(path, value)

    monkeypatch.setattr(write, "write_json", write_json_last)
    write_to(tmp_path)
    assert set(before) == FILES - {"report.json"}


def test_an_older_report_does_not_vouch_for_one_that_failed(tmp_path, write_to, monkeypatch):
    write_to(tmp_path)

    def fail(*_):
        raise RuntimeError("the machine stopped")

    monkeypatch.setattr(write, "html_page", fail)
    with pytest.raises(RuntimeError):
        write_to(tmp_path)
    assert not (tmp_path / "report.json").exists()


def test_an_item_whose_file_name_is_no_unicode_is_written_escaped(tmp_path, write_to, results):
    odd = dataclasses.replace(results, items=["images/\udcff.png"] * 100)
    write_to(tmp_path, results=odd)
    assert "images/\\udcff.png" in (tmp_path / "predictions.csv").read_text("utf-8")


def test_a_folder_that_cannot_be_made_is_named_in_the_error(tmp_path, write_to):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(UserError, match="taken"):
        write_to(tmp_path / "taken")


def test_importing_the_report_loads_no_heavy_library():
    heavy = {"torch", "matplotlib", "sklearn", "jinja2"}
    code = f"import sys, metacli.metrics, metacli.report.write; print(*({heavy} & sys.modules.keys()))"
    root = str(Path(metacli.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == []
