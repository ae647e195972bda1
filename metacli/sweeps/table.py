"""The table of a sweep: for the terminal, as Markdown, as CSV; sweep.json has it too, with every job."""

import csv
import io
import os
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from metacli.files import write_atomic, write_json
from metacli.metrics import METRICS, shown
from metacli.report.names import columns
from metacli.sweeps.folder import SweepFolder
from metacli.sweeps.job import JobFolder
from metacli.sweeps.pooling import Row, rows

LINE = 80
HEADINGS = ("configuration", "metric", "mean ± 95 % CI", "spread", "bn mode", "seeds")
CSV_HEADINGS = (
    *("configuration", "metric", "unit", "mean", "ci95", "spread"),
    *("seeds", "missing", "episodes", "episode_hash", "bn_mode"),
)


def write_table(sweep: SweepFolder) -> str:
    """table.csv, table.md and sweep.json; what to print on a terminal."""
    found = rows(sweep.jobs)
    cells = [_cells(row) for row in found]
    notes, missing = _notes(found), _missing(sweep)
    write_atomic(sweep.path / "table.csv", _csv(found))
    write_atomic(sweep.path / "table.md", _markdown(cells, notes, missing))
    jobs = [_facts(job, sweep) for job in sweep.jobs]
    write_json(sweep.path / "sweep.json", {"rows": [asdict(row) for row in found], "jobs": jobs})
    return "\n".join([*_aligned(cells), *_block(notes), *_block(missing)])


def _cells(row: Row) -> tuple[str, ...]:
    seeds = ", ".join([*map(str, row.seeds), *([f"{row.missing} missing"] if row.missing else [])])
    if not row.seeds:
        return (row.configuration, "-", "-", "-", "-", seeds)
    mean, ci95, spread = row.pooled.mean, row.pooled.ci95, row.pooled.spread
    return (
        row.configuration,
        METRICS[row.metric].words,
        shown(row.metric, mean, ci95),
        "-" if spread is None else shown(row.metric, spread, None),
        row.bn_mode,
        seeds,
    )


def _aligned(cells: Sequence[tuple[str, ...]]) -> list[str]:
    """Plain lines of at most 80 columns: the first column and the last are wrapped."""
    table = [HEADINGS, *cells]
    widths = [max(columns(row[place]) for row in table) for place in range(len(HEADINGS))]
    room = LINE - sum(widths[1:-1]) - 2 * (len(HEADINGS) - 1)
    widths[-1] = min(widths[-1], max(room - widths[0], room // 3))
    widths[0] = min(widths[0], room - widths[-1])
    lines = []
    for row in table:
        ends = [textwrap.wrap(row[place], widths[place]) for place in (0, -1)]
        for line in range(max(map(len, ends))):
            left, right = (part[line] if line < len(part) else "" for part in ends)
            middle = row[1:-1] if line == 0 else [""] * len(row[1:-1])
            parts = zip((left, *middle, right), widths, strict=True)
            lines.append("  ".join(text + " " * (width - columns(text)) for text, width in parts).rstrip())
    return lines


def _notes(found: Sequence[Row]) -> list[str]:
    notes = []
    if any(len(row.seeds) > 1 for row in found):
        notes += [
            "CI: for other seeds and other test episodes (one seed: other episodes only).",
            "spread: standard deviation over the seeds.",
        ]
    done = [row for row in found if row.seeds]
    if len({row.episode_hash for row in done}) > 1:
        notes.append("Not all rows were tested on the same episodes: those that were not do not compare.")
    if len({row.bn_mode for row in done}) > 1:
        notes.append("Not all rows have the same bn mode, which may be worth points by itself.")
    return notes


def _missing(sweep: SweepFolder) -> list[str]:
    """What became of the jobs without a result, and how to go on."""
    lines = []
    for job in sweep.jobs:
        if job.state != "finished":
            failure = job.failure() if job.state == "failed" else None
            lines.append(f"{job.title} {job.state}: {' '.join(job.own)}")
            lines += [f"  {line}" for line in (failure.reason.splitlines() if failure else [])]
            lines += [f"  log: {job.log}"] if job.log else []
    return [*lines, f"go on with: metacli sweep --resume {sweep.path}"] if lines else []


def _block(lines: Sequence[str]) -> list[str]:
    return ["", *lines] if lines else []


def _markdown(cells: Sequence[Sequence[str]], notes: Sequence[str], missing: Sequence[str]) -> str:
    table = [
        HEADINGS,
        ["---"] * len(HEADINGS),
        *([cell.replace("|", "\\|") for cell in row] for row in cells),
    ]
    lines = ["| " + " | ".join(row) + " |" for row in table]
    lines += _block([" ".join(notes)] if notes else [])
    return "\n".join([*lines, *_block(["```", *missing, "```"] if missing else [])]) + "\n"


def _csv(found: Sequence[Row]) -> str:
    """Numbers in full."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADINGS)
    for row in found:
        numbers = (row.pooled.mean, row.pooled.ci95, row.pooled.spread)
        seeds = " ".join(map(str, row.seeds))
        writer.writerow(
            (
                row.configuration,
                row.metric,
                row.unit,
                *numbers,
                seeds,
                row.missing,
                row.episodes,
                row.episode_hash,
                row.bn_mode,
            )
        )
    return text.getvalue()


def _facts(job: JobFolder, sweep: SweepFolder) -> dict[str, Any]:
    """Paths are relative to the sweep's folder, which may be moved."""
    run, report, failure = job.current(), job.report(), job.failure()
    failed = job.state == "failed" and failure
    return {
        "job": job.number,
        "overrides": list(job.overrides),
        "state": job.state,
        "run": os.path.relpath(run.path, sweep.path) if run else None,
        "metric": report["primary"] if report else None,
        "result": report["metrics"][report["primary"]] if report else None,
        "result_hash": report["result_hash"] if report else None,
        "reason": failure.reason if failed and failure else None,
    }
