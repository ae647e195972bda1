"""Sets of comparable runs as every form of the comparison shows them, each with its title and what is said of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from metacli.report import wording
from metacli.report.compare.measured import Measured
from metacli.report.compare.notes import Note, notes, with_commands
from metacli.report.compare.ranking import Comparable


@dataclass(frozen=True)
class Section:
    title: str
    found: Comparable
    notes: tuple[Note, ...]


def sections(
    sets: Sequence[Comparable], join: Callable[[Measured, Measured], str], *, over_seeds: bool
) -> list[Section]:
    """join: the command that asks a run the questions of another; empty where there is none."""
    made = []
    for number, found in enumerate(sets, 1):
        run = found.first
        title = f"{run.report['run']['dataset']}, {run.split} split: {wording.episodes(run.episode)}"
        number_of = f"set {number} of {len(sets)}: " if len(sets) > 1 else ""
        apart = [_apart(found, sets[: number - 1], join)] if number > 1 else []
        made.append(Section(number_of + title, found, (*apart, *notes(found, over_seeds=over_seeds))))
    return made


def _apart(
    found: Comparable, others: Sequence[Comparable], join: Callable[[Measured, Measured], str]
) -> Note:
    """others: the sets before it. It is held against the one that is most like it."""
    number, other = min(enumerate(others, 1), key=lambda one: _distance(found.first, one[1].first))
    text = f"NOT COMPARABLE with set {number}: {'; '.join(_differing(found.first, other.first))}."
    done = {run.training for row in other.rows for run in row.runs}
    missing = {run.training: run for row in found.rows for run in row.runs if run.training not in done}
    commands = [command for run in missing.values() if (command := join(run, other.first))]
    return with_commands(text, "To have these runs there, too", commands)


def _distance(run: Measured, other: Measured) -> tuple[bool, bool, int]:
    task = (run.report["task"], run.primary) != (other.report["task"], other.primary)
    return task, run.dataset["name"] != other.dataset["name"], len(_differing(run, other))


def _differing(run: Measured, other: Measured) -> list[str]:
    """In what the questions of two runs differ."""
    if run.report["task"] != other.report["task"]:
        return [f"another kind of task: {run.report['task']}, not {other.report['task']}"]
    if run.primary != other.primary:
        return [f"another headline metric: {run.primary}, not {other.primary}"]
    said = [f"the {run.split} split, not {other.split}"] if run.split != other.split else []
    said += _unlike(run.episode, other.episode, "episode.")
    if run.data != other.data:
        if run.dataset["name"] != other.dataset["name"]:
            said.append(f"data set {run.dataset['name']}, not {other.dataset['name']}")
        else:
            said += _unlike(run.dataset, other.dataset, "dataset.") or ["the data have changed"]
    return said or ["other episodes under the same settings, drawn by another version of metacli"]


def _unlike(own: Mapping[str, Any], others: Mapping[str, Any], above: str) -> list[str]:
    return [f"{above}{key} {own[key]}, not {others.get(key)}" for key in own if own[key] != others.get(key)]
