"""What scripts/reproduce makes of minutes, and that the pages it writes keep what was measured elsewhere."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from metacli.config.compose import composed, values_of
from metacli.config.validate import validate

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts"))

from reproduction import budget, cells, omniglot, results, runs
from reproduction.cells import Cell

PAGE = """# A page

## 5-way 1-shot

| method | budget, min | published, % | ours, % | group | bn mode | split | trained, min | command | day |
|---|---|---|---|---|---|---|---|---|---|
| ProtoNet | 10 | 98.8 | 98.00 ± 0.10 | inductive a | running | vinyals | 9.9 | `metacli train a` | 2026-11-20 |
| MAML | 10 | 98.7 ± 0.4 | 97.00 ± 0.10 | transductive | batch | vinyals | 9.8 | `metacli train b` | 2026-11-20 |

Measured on: here, 2026-11-20.
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    """That of Omniglot, as it stands; no run is on this machine."""
    path = tmp_path / "docs" / "omniglot.md"
    path.parent.mkdir()
    path.write_text(PAGE)
    monkeypatch.setattr(omniglot, "PAGE", path)
    monkeypatch.setattr(cells, "RUNS", tmp_path / "runs")
    return path


@pytest.fixture
def measured(page, monkeypatch, tmp_path):
    """Put a finished run of a cell on this machine."""

    def put(cell, day):
        folder = tmp_path / "runs" / cell.setting / cell.method / f"{cell.minutes:g}"
        folder.mkdir(parents=True)
        (folder / "overrides.json").write_text('["experiment=x"]')
        monkeypatch.setattr(runs, "finished", lambda place: place if place.exists() else None)
        monkeypatch.setattr(runs, "date", lambda run: day)
        monkeypatch.setattr(runs, "machine", lambda run: f"there, {day}")
        monkeypatch.setattr(omniglot, "groups", lambda paths: dict.fromkeys(paths, "inductive a"))
        monkeypatch.setattr(
            omniglot, "line_of", lambda cell, run, group: f"{omniglot.beginning(cell)} | new | {group} |"
        )

    return put


def table_rows(page):
    return [line for line in page.read_text().splitlines() if line.startswith("| ")][1:]


def test_rows_whose_runs_are_elsewhere_stay_in_the_page_of_results(tmp_path, monkeypatch):
    copy = tmp_path / "results.md"
    before = results.PAGE.read_text(encoding="utf-8")
    copy.write_text(before, encoding="utf-8")
    monkeypatch.setattr(results, "PAGE", copy)
    monkeypatch.setattr(results, "RUNS", tmp_path)
    results.write_page()
    assert copy.read_text(encoding="utf-8") == before


def test_so_do_those_of_omniglot(page):
    before = table_rows(page)
    omniglot.write_page()
    assert table_rows(page) == before
    text = page.read_text()
    assert "Measured on: here, 2026-11-20." in text
    assert "Not measured yet: r2d2, " in text


def test_a_run_that_is_as_new_takes_the_place_of_its_row_and_others_lose_the_group_they_had(page, measured):
    before = table_rows(page)
    measured(Cell("maml", "5w1s", 10), "2026-11-20")
    omniglot.write_page()
    protonet, maml = table_rows(page)
    assert protonet == before[0].replace(" inductive a ", " ")
    assert maml == "| MAML | 10 | new | inductive a |"
    assert "Measured on: here, 2026-11-20; there, 2026-11-20." in page.read_text()


def test_a_row_that_is_newer_than_the_run_stays(page, measured):
    before = table_rows(page)
    measured(Cell("maml", "5w1s", 10), "2026-11-19")
    omniglot.write_page()
    assert table_rows(page) == before


def test_another_budget_is_another_row_after_that_of_the_method(page, measured):
    measured(Cell("protonet", "5w1s", 60), "2026-11-21")
    omniglot.write_page()
    assert [line[:17] for line in table_rows(page)] == [
        "| ProtoNet | 10 |",
        "| ProtoNet | 60 |",
        "| MAML | 10 | 98.",
    ]


@pytest.mark.parametrize(
    ("statuses", "called"),
    [
        ([], ["train", "a=1"]),
        (["damaged"], ["train", "a=1"]),
        (["failed", "interrupted"], ["resume", "1"]),
        (["running", "interrupted"], ["resume", "1"]),
    ],
)
def test_a_run_that_was_begun_is_gone_on_with(statuses, called, monkeypatch):
    there = [SimpleNamespace(status=s, folder=SimpleNamespace(path=n)) for n, s in enumerate(statuses)]
    calls = []
    monkeypatch.setattr(runs, "runs_below", lambda folder: there)
    monkeypatch.setattr(runs, "metacli", lambda *arguments: calls.extend(arguments) or True)
    assert runs.train(Path("root/name"), ["a=1"])
    assert [word for word in calls if not word.startswith("run.")] == called


def test_what_is_finished_is_not_run_again(monkeypatch):
    done = SimpleNamespace(status="finished", folder=SimpleNamespace(path=Path("1")))
    monkeypatch.setattr(runs, "runs_below", lambda folder: [done])
    monkeypatch.setattr(runs, "metacli", lambda *arguments: pytest.fail("it was"))
    assert runs.train(Path("root/name"), ["a=1"])


def test_minutes_become_steps_and_epochs_by_what_pilots_took(monkeypatch):
    asked = []

    def seconds(preset, folder, overrides):
        """1 s at first and for a validation, 0.05 s a step, 30 s an epoch."""
        asked.append(overrides)
        given = dict(override.split("=") for override in overrides if "=" in override)
        return {"train": 1 + 0.05 * int(given.get("trainer.steps", 0)), "pretrain": 30.0}

    monkeypatch.setattr(budget, "_seconds", seconds)
    assert budget.fitted("omniglot/protonet_5w1s", 10, Path("none")) == [
        "trainer.steps=11750",  # of 600 s, ten validations take 12.5
        "trainer.val_every=1175",
    ]
    assert budget.fitted("omniglot/simpleshot_5w1s", 10, Path("none")) == ["pretrain.epochs=20"]
    asked.clear()
    assert budget.fitted("omniglot/meta_baseline_5w1s", 1, Path("none"))[0] == "pretrain.epochs=1"
    config, _ = composed(["experiment=omniglot/meta_baseline_5w1s", *asked[-1]])
    assert validate(values_of(config)).pretrain.name == "none"
    assert budget.fitted("omniglot/nearest_centroid_5w1s", 10, Path("none")) == []
    assert not budget.spends("omniglot/nearest_centroid_5w1s")


def test_a_method_or_setting_without_a_preset_is_told_with_those_that_have_one():
    assert [cell.preset for cell in omniglot.chosen(["5w1s"], ["maml"])] == ["omniglot/maml_5w1s"]
    for settings, methods in ((["5w2s"], []), (["5w1s"], ["mamll"])):
        with pytest.raises(ValueError, match=r"(5w2s|mamll): no preset .*omniglot/protonet_5w1s"):
            omniglot.chosen(settings, methods)
