import json

import numpy as np
import pytest

from metacli.errors import UserError
from metacli.files import write_json
from metacli.report.read import episode_values, read_file, read_report, sealed
from metacli.report.tables import episodes_csv


@pytest.fixture
def folder(tmp_path, results, summary):
    """The part of a report that is read again."""
    episodes = episodes_csv(results)
    (tmp_path / "episodes.csv").write_text(episodes, encoding="utf-8")
    write_json(tmp_path / "report.json", sealed(summary, {"episodes.csv": episodes.encode()}))
    return tmp_path


def test_what_was_written_is_read(folder, results, summary):
    report = read_report(folder)
    assert {key: report[key] for key in summary} == summary
    assert np.array_equal(episode_values(folder, report), results.accuracy)


def test_the_headline_metric_is_the_one_that_is_read(folder, results):
    assert np.array_equal(episode_values(folder, read_report(folder) | {"primary": "loss"}), results.loss)


def test_a_report_without_its_end_is_named(folder):
    path = folder / "report.json"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match=r"report\.json: truncated or altered") as told:
        read_report(folder)
    assert told.value.hint == f"restore the file, or have a new report: metacli eval {folder.parent}"


def test_a_report_with_another_number_is_named(folder):
    path = folder / "report.json"
    report = json.loads(path.read_text("utf-8"))
    report["metrics"]["accuracy"]["mean"] += 1e-9
    write_json(path, report)
    with pytest.raises(UserError, match=r"report\.json: altered"):
        read_report(folder)


@pytest.mark.parametrize("content", [b"[]", b"\xff", b""])
def test_a_report_that_is_something_else_is_named(folder, content):
    (folder / "report.json").write_bytes(content)
    with pytest.raises(UserError, match=r"report\.json: "):
        read_report(folder)


def test_a_report_of_before_there_were_checksums_asks_for_a_new_one(folder, summary):
    write_json(folder / "report.json", summary)
    with pytest.raises(UserError, match="an older metacli wrote it") as told:
        read_report(folder)
    assert told.value.hint == f"a new report: metacli eval {folder.parent}"


@pytest.mark.parametrize("content", [b"", b"episode,accuracy,loss\n0,0.5,0.1\n", b"\xff"])
def test_episodes_that_are_not_those_of_the_report_are_named(folder, content):
    report = read_report(folder)
    (folder / "episodes.csv").write_bytes(content)
    with pytest.raises(UserError, match=r"episodes\.csv: truncated or altered"):
        episode_values(folder, report)


def test_every_file_of_a_report_is_sealed_by_it(folder, summary):
    (folder / "predictions.csv").write_bytes(b"episode,true\n0,a\n")
    write_json(folder / "report.json", sealed(summary, {"predictions.csv": b"episode,true\n0,a\n"}))
    assert read_file(folder, "predictions.csv", read_report(folder)) == b"episode,true\n0,a\n"
    (folder / "predictions.csv").write_bytes(b"episode,true\n0,b\n")
    with pytest.raises(UserError, match=r"predictions\.csv: truncated or altered"):
        read_file(folder, "predictions.csv", read_report(folder))


def test_episodes_that_are_missing_are_named(folder):
    report = read_report(folder)
    (folder / "episodes.csv").unlink()
    with pytest.raises(UserError, match=r"episodes\.csv: cannot be read"):
        episode_values(folder, report)
