"""docs/results/omniglot.md: each method that has a preset, trained for so many minutes, beside its published figure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from metacli.report.compare.measured import measured
from metacli.report.compare.ranking import compare
from reproduction import budget, cells, runs
from reproduction.cells import Cell
from reproduction.published import CELLS, PUBLISHED
from reproduction.runs import row

PAGE = runs.ROOT / "docs" / "results" / "omniglot.md"
GROUP = 4  # place of its column
COLUMNS = [
    *("method", "budget, min", "published, %", "ours, %", "group", "bn mode", "split", "trained, min"),
    *("command", "day"),
]
HEAD = """# Omniglot: what papers print, and what comes out here

Written by `scripts/reproduce omniglot` from the runs' own reports. Each method is trained under its preset for a budget
of minutes on this machine: as many steps, or epochs of pretraining, as fit into them by a measurement before the run.
The best weights by validation are evaluated once, on 1000 fixed test episodes; ± is the 95 % interval over them. No
split, seed or bn mode was chosen after looking at a test result. "memory" marks a published figure that was not read
again in the paper or in a table of it; published protocols differ in split, and train for far longer.

Group: rows of a table that share a letter, behind the same word, do not differ significantly (`metacli compare`: paired
t-tests over the same episodes, 5 % level, Holm's correction). A row without one was not measured beside the others.
"""


def chosen(settings: Sequence[str], methods: Sequence[str]) -> list[Cell]:
    """Those that have a preset. Raises ValueError where a setting or a method has none at all."""
    found = cells.with_preset(settings, methods)
    for name in [*methods, *settings]:
        if not any(name in (cell.setting, cell.method) for cell in found):
            known = ", ".join(cell.preset for cell in cells.with_preset(CELLS))
            raise ValueError(f"{name}: no preset of Omniglot is for that; there are {known}")
    return found


def reproduce(wanted: Sequence[Cell], minutes: float, *, again: bool) -> int:
    """1 where a cell failed; the others are done all the same."""
    failed = []
    for cell in wanted:
        budgeted = replace(cell, minutes=minutes if budget.spends(cell.preset) else 0.0)
        if not cells.run(budgeted, again=again):
            failed.append(cell.preset)
        write_page()
    if not wanted:
        write_page()
    if failed:
        print(f"failed: {', '.join(failed)}; what was said stands above")
    return int(bool(failed))


def write_page() -> None:
    tables = {setting: list(table(setting)) for setting in CELLS}
    written = [path for cell in cells.begun() if (path := newest(cell))]
    notes = runs.measured_on(runs.lines_of(PAGE)) | {runs.machine(path) for path in written}
    lines = [HEAD]
    for setting, rows in tables.items():
        missing = [cell.method for cell in cells.with_preset([setting]) if not any_row(cell, rows)]
        if rows:
            lines += [heading(setting), "", row(*COLUMNS), "|" + "---|" * len(COLUMNS), *rows, ""]
        if rows and missing:
            lines += [f"Not measured yet: {', '.join(missing)}.", ""]
    lines += [f"Measured on: {'; '.join(sorted(notes))}.", ""] if notes else []
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text("\n".join(lines), encoding="utf-8")


def heading(setting: str) -> str:
    ways, shots = setting.removesuffix("s").split("w")
    return f"## {ways}-way {shots}-shot"


def table(setting: str) -> Iterator[str]:
    """Rows of runs that are here, and those that stand in the page and are as new, by method and minutes."""
    stand = [line for line in runs.lines_of(PAGE, heading(setting)) if line.startswith("| ")][1:]
    here = {cell: path for cell in cells.begun() if cell.setting == setting and (path := newest(cell))}
    letters = groups(list(here.values()))
    found = {beginning(cell): line_of(cell, path, letters[path]) for cell, path in here.items()}
    for line in stand:
        key = "|".join(line.split("|")[:3]).rstrip()
        if key not in found:
            found[key] = alone(line) if here else line
    names = [f"| {known.name} " for known in PUBLISHED.values()]

    def place(key: str) -> tuple[int, float]:
        method = next(number for number, name in enumerate(names) if key.startswith(name + "|"))
        return method, float(key.rpartition("|")[2])

    yield from (found[key] for key in sorted(found, key=place))


def alone(line: str) -> str:
    """A row without its group."""
    parts = line.split("|")
    parts[GROUP + 1] = " "
    return "|".join(parts)


def beginning(cell: Cell) -> str:
    return f"| {PUBLISHED[cell.method].name} | {cell.minutes:g}"


def any_row(cell: Cell, rows: Sequence[str]) -> bool:
    return any(line.startswith(f"| {PUBLISHED[cell.method].name} |") for line in rows)


def newest(cell: Cell) -> Path | None:
    """Its run, if it is finished and the row that stands is not newer."""
    lines = runs.lines_of(PAGE, heading(cell.setting))
    return runs.newer(runs.finished(cell.folder), runs.standing(lines, beginning(cell)))


def groups(paths: Sequence[Path]) -> dict[Path, str]:
    """Of each run: whether it is inductive or transductive, and the letters of its rank among those."""
    found = dict.fromkeys(paths, "")
    for together in compare([measured(path) for path in paths]):
        for ranking in together.rankings:
            for ranked, letters in zip(ranking.rows, ranking.groups, strict=True):
                found[ranked.first.path] = f"{ranking.standing} {letters}".strip()
    return found


def line_of(cell: Cell, path: Path, group: str) -> str:
    report, known = runs.report_of(path), PUBLISHED[cell.method]
    figure = known.figure(cell.setting)
    return row(
        known.name,
        f"{cell.minutes:g}",
        f"{figure}, {known.note}" if known.note and figure else figure or "none known",
        runs.percent(report["metrics"]["accuracy"]),
        group,
        report["protocol"]["bn_mode"],
        measured(path).config["dataset"]["split"],
        runs.minutes(report["run"]["seconds_train"]),
        f"`metacli train {' '.join(cell.overrides)}`",
        runs.date(path),
    )
