"""metacli runs [DIR] [KEY=VALUE ...]: the runs in a folder, the newest last, and where each of them stands.

    metacli runs status=interrupted,failed paradigm=maml trainer.steps=600

A KEY is status, a config group or any key of the saved configs; several values, with commas, are one or another.
On a terminal that is too narrow for the table a run takes several lines; in a pipe it always takes one.
"""

import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from metacli.commands.filters import filtered
from metacli.errors import UserError
from metacli.files import user_path
from metacli.letters import printable
from metacli.report.names import columns, shorten
from metacli.runlist import Run, runs_below

_HEADINGS = ("status", "run", "paradigm", "dataset", "backbone", "seed", "steps", "age", "result")
_INDENT = " " * 13


def run(arguments: list[str]) -> int:
    folder, wanted = _asked(arguments)
    found = runs_below(folder)
    kept = filtered(found, wanted)
    if kept:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print("\n".join(_lines(kept, width)))
    else:
        print(
            f"{folder}: none of its {len(found)} runs has {' '.join(wanted)}"
            if found
            else f"no runs in {folder}"
        )
    return 0


def _asked(arguments: Sequence[str]) -> tuple[Path, list[str]]:
    """The folder, and the filters. A folder's name may hold an equals sign."""
    flags = [text for text in arguments if text.startswith("-")]
    if flags:
        raise UserError(f"{flags[0]}: no such flag", "a filter is KEY=VALUE: metacli runs status=failed")
    folders = [text for text in arguments if "=" not in text or os.path.isdir(text)]
    filters = [text for text in arguments if text not in folders]
    if len(folders) > 1:
        raise UserError(f"{folders[1]}: one folder at a time", "metacli runs [DIR] [KEY=VALUE ...]")
    folder = user_path(folders[0] if folders else "runs")
    if folders and not folder.is_dir():
        raise UserError(f"{folders[0]}: no such folder", "name a folder of runs; without one it is runs")
    return folder, filters


def _lines(runs: Sequence[Run], width: int | None) -> Iterator[str]:
    """width: of the terminal, None for a pipe."""
    rows = [_HEADINGS, *map(_cells, runs)]
    widths = [max(columns(row[place]) for row in rows) for place in range(len(_HEADINGS) - 1)]
    results = max(columns(run.result or _HEADINGS[-1]) for run in runs)  # reasons may be cut
    if width is None or sum(widths) + 2 * len(widths) + results <= width:
        for row in rows:
            padded = "  ".join(
                cell + " " * (size - columns(cell)) for cell, size in zip(row, widths, strict=False)
            )
            line = f"{padded}  {row[-1]}".rstrip()
            yield shorten(line, width) if width else line
    else:
        for run in runs:
            yield from _card(run, width)


def _cells(run: Run) -> tuple[str, ...]:
    names = (run.name_of(group) for group in ("paradigm", "dataset", "backbone"))
    said = (*names, run.seed, run.steps, run.age, run.result or run.reason)
    return tuple(map(printable, (run.status, str(run.folder.path), *said)))


def _card(run: Run, width: int) -> Iterator[str]:
    yield f"{run.status:<{len(_INDENT)}}{printable(str(run.folder.path))}, {run.age} ago"
    came_of_it = run.result or ", ".join(filter(None, (run.far, run.reason)))
    yield from textwrap.wrap(
        printable(": ".join(filter(None, (run.title, came_of_it)))),
        width,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
