"""The table as text, Markdown, CSV and JSON."""

import csv
import json

import pytest

from metacli.sweeps.table import write_table


def test_it_fits_eighty_columns_however_long_a_configuration_is(make_sweep, finish):
    long = [f"a.long.key_{n}={n}.25" for n in range(6)]
    sweep = make_sweep(*([[*long, f"seed={n}"], {"seed": n}] for n in range(30)), (["short=1"], {"lr": 1}))
    for job in sweep.jobs:
        finish(job, 0.9, 0.02)
    text = write_table(sweep)
    assert max(map(len, text.splitlines())) <= 80
    for part in (*long, "short=1", "29"):
        assert part in text
    assert "90.00 ± 2.00 %" in text


def test_a_metric_that_is_no_fraction_is_not_shown_in_per_cent(make_sweep, finish):
    sweep = make_sweep((["seed=0"], {"seed": 0}), (["seed=1"], {"seed": 1}))
    for job in sweep.jobs:
        finish(job, 0.25, 0.125, metric="mse", unit="squared units")
    assert "maml-glyphs    squared error  0.2500 ± 0.1250  0.0000  batch    0, 1" in write_table(sweep)


def test_it_says_what_failed_why_and_how_to_go_on(make_sweep, finish):
    sweep = make_sweep((["lr=1"], {"lr": 1}), (["lr=2"], {"lr": 2}), (["lr=3"], {"lr": 3}))
    sweep.jobs[0].path.mkdir()
    sweep.jobs[0].fail(2, "the loss became nan\nlower lr")
    finish(sweep.jobs[1], 0.9, 0.02)
    lines = write_table(sweep).splitlines()
    assert lines[1].split() == ["lr=1", "-", "-", "-", "-", "1", "missing"]
    assert lines[5:] == [
        "job 1/3 failed: lr=1",
        "  the loss became nan",
        "  lower lr",
        "job 3/3 not begun: lr=3",
        f"go on with: metacli sweep --resume {sweep.path}",
    ]
    assert "```\njob 1/3 failed: lr=1\n" in (sweep.path / "table.md").read_text()
    jobs = json.loads((sweep.path / "sweep.json").read_text())["jobs"]
    assert [job["state"] for job in jobs] == ["failed", "finished", "not begun"]
    assert [job["reason"] for job in jobs] == ["the loss became nan\nlower lr", None, None]
    assert [job["run"] for job in jobs] == [None, "2/1", None]


def test_the_csv_has_the_numbers_in_full(make_sweep, finish):
    sweep = make_sweep((["lr=1"], {"lr": 1}), (["lr=2", "x=a,b"], {"lr": 2}))
    for job in sweep.jobs:
        finish(job, 2 / 3, 0.02)
    write_table(sweep)
    first, second = csv.DictReader((sweep.path / "table.csv").read_text().splitlines())
    assert float(first["mean"]) == 2 / 3
    assert (first["ci95"], first["spread"], first["episodes"]) == ("0.02", "", "600")
    assert second["configuration"] == "lr=2 x=a,b"


@pytest.mark.parametrize(("other", "warned"), [("same", False), ("other", True)])
def test_rows_with_other_episodes_are_said_not_to_compare(other, warned, make_sweep, finish):
    sweep = make_sweep((["ways=5"], {"ways": 5}), (["ways=20"], {"ways": 20}))
    finish(sweep.jobs[0], 0.9, 0.02)
    finish(sweep.jobs[1], 0.7, 0.02, episode_hash=other)
    assert ("not do not compare" in write_table(sweep).replace("\n", " ")) == warned


def test_rows_with_another_bn_mode_are_pointed_at(make_sweep, finish):
    sweep = make_sweep((["bn=1"], {"bn": 1}), (["bn=2"], {"bn": 2}))
    finish(sweep.jobs[0], 0.9, 0.02)
    finish(sweep.jobs[1], 0.7, 0.02, bn_mode="running")
    first, second, *notes = write_table(sweep).splitlines()[1:]
    assert (first.split()[-2], second.split()[-2]) == ("batch", "running")
    assert "Not all rows have the same bn mode, which may be worth points by itself." in notes
