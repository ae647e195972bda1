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
        apart = [_apart(found, sets[0], join)] if number > 1 else []
        made.append(Section(number_of + title, found, (*apart, *notes(found, over_seeds=over_seeds))))
    return made


def _apart(found: Comparable, other: Comparable, join: Callable[[Measured, Measured], str]) -> Note:
    text = f"NOT COMPARABLE with set 1: {_why(found.first, other.first)}."
    done = {run.training for row in other.rows for run in row.runs}
    missing = {run.training: run for row in found.rows for run in row.runs if run.training not in done}
    commands = [command for run in missing.values() if (command := join(run, other.first))]
    return with_commands(text, "To have these runs there, too", commands)


def _why(run: Measured, other: Measured) -> str:
    """In what the questions of two runs differ."""
    if run.report["task"] != other.report["task"]:
        return f"another kind of task: {run.report['task']}, not {other.report['task']}"
    if run.primary != other.primary:
        return f"another headline metric: {run.primary}, not {other.primary}"
    said = [f"the {run.split} split, not {other.split}"] if run.split != other.split else []
    said += _unlike(run.episode, other.episode, "episode.")
    if run.data != other.data:
        if run.dataset["name"] != other.dataset["name"]:
            said += [f"data set {run.dataset['name']}, not {other.dataset['name']}"]
        else:
            said += _unlike(run.dataset, other.dataset, "dataset.") or ["the data have changed"]
    return "; ".join(said) or "other episodes under the same settings, drawn by another version of metacli"


def _unlike(own: Mapping[str, Any], others: Mapping[str, Any], above: str) -> list[str]:
    return [f"{above}{key} {own[key]}, not {others.get(key)}" for key in own if own[key] != others.get(key)]
