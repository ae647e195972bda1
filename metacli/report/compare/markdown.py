"""Compared runs as Markdown."""

from collections.abc import Iterable, Sequence

from metacli.report.compare.sections import Section
from metacli.report.compare.table import table


def markdown(sections: Sequence[Section]) -> str:
    lines: list[str] = []
    for section in sections:
        made = table(section.found)
        lines += [f"## {section.title}", "", _bar(column.heading for column in made)]
        lines += [_bar("---:" if column.numbers else "---" for column in made)]
        lines += [_bar(cells) for cells in zip(*(column.cells for column in made), strict=True)]
        for note in section.notes:
            lines += [
                "",
                note.text,
                *(["", *(f"    {line}" for line in note.lines)] * bool(note.lines)),
            ]
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


def _bar(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|').replace(chr(10), '<br>') for cell in cells)} |"
