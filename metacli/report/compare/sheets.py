"""Compared runs as CSV: a sheet of rows and a sheet of tests."""

import csv
import io
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from typing import Any

from metacli.report.compare.rows import Row
from metacli.report.compare.sections import Section
from metacli.report.compare.table import BESIDE


def rows_csv(sections: Sequence[Section]) -> str:
    """A line a row with all numbers in full; fractions stay fractions."""
    rows = [
        {"set": number, **_facts(row), "standing": ranking.standing, "group": group, **_report(row)}
        for number, section in enumerate(sections, 1)
        for ranking in section.found.rankings
        for row, group in zip(ranking.rows, ranking.groups, strict=True)
    ]
    return _csv(rows[0], [row.values() for row in rows])


def pairs_csv(sections: Sequence[Section]) -> str:
    """A line a test: the mean of first - second with its 95 % interval, p, and p after the correction."""
    headings = ("set", "first", "second", "difference", "ci95", "p", "p_holm", "significant")
    rows = [
        (
            number,
            pair.first.number,
            pair.second.number,
            *astuple(pair.difference),
            pair.p,
            int(pair.significant),
        )
        for number, section in enumerate(sections, 1)
        for pair in section.found.pairs
    ]
    return _csv(headings, rows)


def _facts(row: Row) -> dict[str, Any]:
    (paradigm, backbone), (mean, ci95) = row.first.method, row.headline
    return {
        "row": row.number,
        "paradigm": paradigm,
        "backbone": backbone,
        "dataset": row.first.report["run"]["dataset"],
        "settings": " ".join(row.settings),
        "seeds": " ".join(map(str, row.seeds)),
        "split": row.first.split,
        "metric": row.first.primary,
        "mean": mean,
        "ci95": ci95,
        "episodes": len(row.first.values),
    }


def _report(row: Row) -> dict[str, Any]:
    protocol = row.first.report["protocol"]
    return {
        "bn_mode": protocol["bn_mode"],
        **{name: row.metric(name) for name in BESIDE},
        "parameters": row.first.report["run"]["parameters"],
        "seconds_train": row.seconds,
        "episode_hash": protocol["episode_hash"],
        "folders": shlex.join(str(run.path) for run in row.runs),
    }


def _csv(headings: Iterable[str], rows: Sequence[Iterable[Any]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows([headings, *rows])
    return out.getvalue()
