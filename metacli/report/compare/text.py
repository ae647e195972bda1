"""Compared runs as plain text for a terminal or a pipe."""

import textwrap
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from metacli.report.compare.sections import Section
from metacli.report.compare.table import Column, table
from metacli.report.names import columns, right_aligned

GAP = "  "


def text(sections: Sequence[Section], width: int) -> str:
    """Columns that do not fit into `width` follow in further blocks, by number of the row."""
    lines: list[str] = []
    for section in sections:
        number, *others = table(section.found)
        lines += [*textwrap.wrap(section.title, width), ""]
        for block in _blocks(others, width - number.width):
            lines += [*_lines([number, *block], _headings(section) if block[0] is others[0] else {}), ""]
        for note in section.notes:
            lines += textwrap.wrap(note.text, width, break_long_words=False, break_on_hyphens=False)
            lines += [f"  {line}" for line in note.lines]
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def _headings(section: Section) -> dict[int, str]:
    """Place of a row -> what stands above it: where there are several rankings, how each stands."""
    places: dict[int, str] = {}
    place = 0
    for ranking in section.found.rankings:
        if len(section.found.rankings) > 1:
            places[place] = f"{ranking.standing}:"
        place += len(ranking.rows)
    return places


def _blocks(others: Sequence[Column], room: int) -> list[list[Column]]:
    """As many columns to a block as there is room for, at least one."""
    blocks: list[list[Column]] = []
    left = -1
    for column in others:
        left -= len(GAP) + column.width
        if left < 0 or not blocks:
            blocks.append([])
            left = room - len(GAP) - column.width
        blocks[-1].append(column)
    return blocks


def _lines(block: Sequence[Column], headings: dict[int, str]) -> list[str]:
    lines = [_line(block, [column.heading for column in block])]
    for place in range(len(block[0].cells)):
        if place in headings:
            lines += [headings[place]]
        if any(column.cells[place] for column in block[1:]):  # else the row has nothing in this block
            cells = [column.cells[place].split("\n") for column in block]
            lines += [_line(block, parts) for parts in zip_longest(*cells, fillvalue="")]
    return lines


def _line(block: Sequence[Column], cells: Iterable[str]) -> str:
    padded = (
        right_aligned(cell, column.width) if column.numbers else cell + " " * (column.width - columns(cell))
        for column, cell in zip(block, cells, strict=True)
    )
    return GAP.join(padded).rstrip()
