"""Compared runs as one self-contained page: no script, no file beside it, no address outside it."""

from base64 import b64encode
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from metacli.metrics import METRICS, shown
from metacli.report.canvas import BLUE, INK, MUTED, ORANGE, blank, label, look, png
from metacli.report.compare.ranking import Comparable
from metacli.report.compare.sections import Section
from metacli.report.compare.table import table

NAME_LIMIT = 48  # columns of a row's name beside its dot
PAIRS = 500  # tests that a page lists at most; pairs.csv has all


def page(sections: Sequence[Section]) -> str:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        files("metacli.report.compare").joinpath("page.html.jinja").read_text("utf-8")
    )
    return template.render(sections=[_shown(section) for section in sections], shown=shown)


def _shown(section: Section) -> dict[str, Any]:
    found = section.found
    cells = {column.heading: column for column in table(found)}
    folders, settings = cells.pop("folder").cells, cells.pop("settings", None)  # too wide for columns
    return {
        "title": section.title,
        "found": found,
        "columns": list(cells.values()),
        "settings": settings.cells if settings else [""] * len(folders),
        "folders": list(zip(cells["#"].cells, folders, strict=True)),
        "notes": section.notes,
        "pairs": found.pairs if len(found.pairs) <= PAIRS else (),
        "plot": b64encode(intervals(found)).decode() if len(found.rows) > 1 else "",
        "words": METRICS[found.metric].words,
    }


@look()
def intervals(found: Comparable) -> bytes:
    """A dot with its 95 % interval for each row, as they stand in the table. PNG."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    metric = METRICS[found.metric]
    figure = blank(8, 1 + 0.32 * len(found.rows) + 0.3 * len(found.rankings))
    axes = figure.add_subplot()
    names, places, place = [], [], 0.0
    for ranking in found.rankings:
        if len(found.rankings) > 1:
            axes.text(
                0,
                place,
                f" {ranking.standing}",
                transform=axes.get_yaxis_transform(),
                color=MUTED,
                va="center",
            )
            place += 1
        for row, group in zip(ranking.rows, ranking.groups, strict=True):
            mean, half = row.headline
            colour = ORANGE if row.first.standing == "transductive" else BLUE
            axes.errorbar(mean, place, xerr=half, fmt="o", color=colour, markersize=5, capsize=3)
            axes.text(1.02, place, group, transform=axes.get_yaxis_transform(), color=INK, va="center")
            names.append(label(f"{row.number}  {row.name}", NAME_LIMIT))
            places.append(place)
            place += 1
    axes.set_yticks(places, names)
    axes.set_ylim(place - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.set_xlabel(f"{metric.words} (95 % interval)")
    if metric.unit == "fraction":
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    return png(figure)
