"""metacli compare RUN|DIR ...: one table of finished runs, ranked where they were asked the same questions.

    metacli compare runs/maml-glyphs runs/sweeps --over-seeds --out comparison

A DIR is searched for runs; --evaluations takes the evaluations below them too. --over-seeds: runs that differ in
nothing but the seed become one row. --across-bn: transductive rows are ranked with the others. --out DIR: compare.html,
compare.md, compare.csv, and pairs.csv with every test.
"""

import os
import shutil
from argparse import ArgumentParser
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from metacli.errors import UserError
from metacli.files import user_path, write_atomic

if TYPE_CHECKING:
    from metacli.report.compare.measured import Measured
    from metacli.report.compare.sections import Section

SHOWN = 10  # folders that were left out; of more, only the number


def run(arguments: list[str]) -> int:
    """1 where there are several rows and no two of them can be ranked."""
    asked = _parser().parse_intermixed_args(arguments)
    from metacli.commands.joining import join
    from metacli.report.compare.ranking import compare
    from metacli.report.compare.sections import sections
    from metacli.report.compare.text import text

    runs, left_out = _measured(asked.folders, asked.evaluations)
    sets = compare(runs, over_seeds=asked.over_seeds, across_bn=asked.across_bn)
    found = sections(sets, join, over_seeds=asked.over_seeds)
    if asked.out:
        _write(asked.out, found)
    print(text(found, shutil.get_terminal_size().columns), end="")
    for error in left_out[:SHOWN]:
        print(f"left out: {error.problem}\n  {error.hint}")
    if len(left_out) > SHOWN:
        print(f"left out: {len(left_out) - SHOWN} more")
    if asked.out:
        print(f"written: {asked.out / 'compare.html'}")
    return int(sum(len(one.rows) for one in sets) > 1 and not any(one.pairs for one in sets))


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(
            f"compare: {message}",
            "metacli compare RUN|DIR ... [--over-seeds] [--evaluations] [--across-bn] [--out DIR]",
        )


def _parser() -> ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("folders", nargs="+", metavar="RUN|DIR", type=user_path)
    parser.add_argument("--over-seeds", action="store_true")
    parser.add_argument("--evaluations", action="store_true")
    parser.add_argument("--across-bn", action="store_true")
    parser.add_argument("--out", type=user_path, metavar="DIR")
    return parser


def _measured(folders: Sequence[Path], evaluations: bool) -> tuple[list["Measured"], list[UserError]]:
    """The runs, and why others were left out. What is wrong with a run that was named itself is an error."""
    from metacli.report.compare.measured import measured

    runs: dict[Path, Measured] = {}
    left_out: list[UserError] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder", "name runs, or folders that hold runs")
        found = list(_below(folder, evaluations))
        if not found:
            raise UserError(
                f"{folder}: no runs in it", "name runs, or folders that hold runs: metacli train makes one"
            )
        for path in found:
            try:
                runs.setdefault(path.resolve(), measured(path))
            except UserError as error:
                if path == folder:
                    raise
                left_out.append(error)
    if not runs:
        raise UserError(
            f"no finished run in {', '.join(map(str, folders))}: {left_out[0].problem}", left_out[0].hint
        )
    return list(runs.values()), left_out


def _below(folder: Path, evaluations: bool) -> Iterator[Path]:
    """Runs in the folder and those in it, or the folder itself."""
    for root, folders, files in os.walk(folder):
        if "manifest.json" in files:
            folders[:] = ["evaluations"] if evaluations and "evaluations" in folders else []
            yield Path(root)
        folders.sort()


def _write(folder: Path, found: Sequence["Section"]) -> None:
    from metacli.report.compare.markdown import markdown
    from metacli.report.compare.page import page
    from metacli.report.compare.sheets import pairs_csv, rows_csv

    texts = {
        "compare.csv": rows_csv(found),
        "pairs.csv": pairs_csv(found),
        "compare.md": markdown(found),
        "compare.html": page(found),
    }
    for name, content in texts.items():
        write_atomic(folder / name, content.encode("utf-8", "backslashreplace"))
