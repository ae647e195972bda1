"""The table of a set of comparable runs: what stands in its columns, whatever form it is printed in."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from metacli.letters import printable
from metacli.metrics import METRICS, shown
from metacli.report import wording
from metacli.report.compare.ranking import Comparable
from metacli.report.compare.rows import Row
from metacli.report.names import columns

BESIDE = ("macro_f1", "calibration_error")  # metrics that stand beside the headline, where there are any


@dataclass(frozen=True)
class Column:
    """cells: one a row of the table, each of one or more lines."""

    heading: str
    cells: Sequence[str]
    numbers: bool = False

    @cached_property
    def width(self) -> int:
        return max(columns(line) for cell in (self.heading, *self.cells) for line in cell.split("\n"))


def table(found: Comparable) -> list[Column]:
    """The columns that every form of the table has; those without any content are left out."""
    rows = found.rows
    groups = [group for ranking in found.rankings for group in ranking.groups]
    made = [
        Column("#", [str(row.number) for row in rows], numbers=True),
        Column("run", [printable(row.name) for row in rows]),
        Column(
            METRICS[found.metric].words, [shown(found.metric, *row.headline) for row in rows], numbers=True
        ),
        Column("group", groups),
        Column(
            "bn mode", [_bn_mode(row) for row in rows]
        ),  # whatever stands above the row: it must not be missed
        *(Column(METRICS[name].words, [_metric(row, name) for row in rows], numbers=True) for name in BESIDE),
        Column("seed", [", ".join(map(str, row.seeds)) for row in rows]),
        Column("parameters", [f"{row.first.report['run']['parameters']:,}" for row in rows], numbers=True),
        Column("training", [wording.duration(row.seconds) for row in rows], numbers=True),
        Column("settings", ["\n".join(map(printable, row.settings)) for row in rows]),
        Column("folder", ["\n".join(printable(str(run.path)) for run in row.runs) for row in rows]),
    ]
    return [column for column in made if any(column.cells)]


def _bn_mode(row: Row) -> str:
    mode = row.first.report["protocol"]["bn_mode"]
    return f"{mode} (transductive)" if row.first.standing == "transductive" else mode


def _metric(row: Row, name: str) -> str:
    mean = row.metric(name)
    return "" if mean is None else shown(name, mean, None)
