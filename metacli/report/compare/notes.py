"""What has to be said beside a table of compared runs: what its letters mean, and what makes its rows unequal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from metacli.report.compare.measured import SEEN, Measured
from metacli.report.compare.ranking import TOGETHER, Comparable
from metacli.report.compare.rows import Row, but_for_seed, grouped

SHOWN = 3  # commands of a note; more would be like them
WHY = {
    "transductive": "batch norm sees all queries of an episode at once, or the method does, a help that a model asked "
    "one question at a time does not have",
    SEEN: "the weights were trained on another class split of the same data, so test classes may have been trained on",
}


@dataclass(frozen=True)
class Note:
    """lines: below the text, each kept whole to be copied · loud: the numbers are not what they seem."""

    text: str
    lines: tuple[str, ...] = ()
    loud: bool = False


def notes(found: Comparable, *, over_seeds: bool) -> list[Note]:
    """The most important first."""
    return [
        *_warnings(found),
        *_letters(found),
        *_seeds(found, over_seeds),
        *_origins(found),
        *_repeats(found),
    ]


def with_commands(text: str, lead: str, commands: Sequence[str]) -> Note:
    """A loud note; `lead` comes before the commands, where there are any."""
    if not commands:
        return Note(text, loud=True)
    more = f" (and so for {len(commands) - SHOWN} more)" if len(commands) > SHOWN else ""
    return Note(f"{text} {lead}{more}:", tuple(commands[:SHOWN]), loud=True)


def _warnings(found: Comparable) -> Iterator[Note]:
    if found.first.split == "val":
        text = "OPTIMISTIC: weights and settings are chosen on the validation split. Report the test split."
        yield Note(text, loud=True)
    for ranking in found.rankings:
        if ranking.standing == TOGETHER:
            seeing = [row for row in ranking.rows if row.first.standing == "transductive"]
            if 0 < len(seeing) < len(ranking.rows):
                yield _unequal("RANKED ALL THE SAME, as asked", "transductive", seeing, found)
        elif ranking.standing == SEEN or (len(found.rankings) > 1 and ranking.standing != "inductive"):
            begin = "NOT RANKED with the others" if len(found.rankings) > 1 else "NOT UNSEEN"
            yield _unequal(begin, ranking.standing, ranking.rows, found)
    overlapping = [row for row in found.rows if row.first.report["protocol"].get("class_overlap")]
    if overlapping:
        yield Note(
            f"NOT UNSEEN: {_named(overlapping)}: some classes stand in more than one split.", loud=True
        )


def _unequal(begin: str, standing: str, rows: Sequence[Row], found: Comparable) -> Note:
    text = f"{begin}: {_named(rows)}, {standing}: {WHY.get(standing, 'that bn_mode is not known here')}."
    if standing != "transductive":
        return Note(text, loud=True)
    done = {run.training for row in found.rows for run in row.runs if run.standing == "inductive"}
    able = [run for row in rows for run in row.runs if not run.by_method]
    trainings = dict.fromkeys(run.training for run in able if run.training not in done)
    commands = [f"metacli eval {training} paradigm.bn_mode=support" for training in trainings]
    return with_commands(text, "To do without it, and then compare with --evaluations", commands)


def _letters(found: Comparable) -> Iterator[Note]:
    tests = [len(ranking.pairs) for ranking in found.rankings if ranking.pairs]
    if tests:
        pairs = " and ".join(f"{count} pair{'s' * (count > 1)}" for count in tests)
        yield Note(
            "group: rows that share a letter do not differ significantly (paired t-tests over the "
            f"{len(found.first.values)} episodes, 5 % level, Holm's correction over {pairs})."
        )


def _seeds(found: Comparable, over_seeds: bool) -> Iterator[Note]:
    trained = [row for row in found.rows if row.first.has_training]
    single = [row for row in trained if len(row.runs) == 1]
    if not found.pairs or not trained:
        return
    if not over_seeds:
        yield Note(
            "The interval and the test are about these weights on other episodes. What another training (seed) would "
            "give, they do not tell: train several seeds and compare with --over-seeds."
        )
        for alike in grouped(trained, lambda row: but_for_seed(row.first)):
            if len({row.seeds[0] for row in alike}) > 1:
                yield _only_seeds(alike, found)
        return
    if len(single) < len(trained):
        yield Note(
            "The interval and the test of rows with several seeds are about other seeds and other episodes."
        )
    if single:
        yield Note(
            f"One seed: {_named(single)}. What another would give is neither in the interval nor in the test."
        )


def _only_seeds(alike: Sequence[Row], found: Comparable) -> Note:
    text = f"{_named(alike)} differ in nothing but the seed"
    numbers = {row.number for row in alike}
    if any(pair.significant and {pair.first.number, pair.second.number} <= numbers for pair in found.pairs):
        return Note(f"ONE METHOD: {text}, and yet the test tells some of them apart.", loud=True)
    return Note(f"{text.capitalize()}.")


def _origins(found: Comparable) -> Iterator[Note]:
    for row in found.rows:
        run = row.first
        if None in run.origins:
            yield Note(
                f"Row {row.number}: the run that it started from is gone, so its training data are unknown."
            )
        elif _from_other_data(run):
            yield Note(f"Row {row.number}: weights trained on other data ({run.trained['dataset']['name']}).")


def _from_other_data(run: Measured) -> bool:
    return any(data and data["fingerprint"] != run.data["fingerprint"] for data in run.origins)


def _repeats(found: Comparable) -> Iterator[Note]:
    for alike in grouped(found.rows, lambda row: tuple(run.report["result_hash"] for run in row.runs)):
        if len(alike) > 1:
            yield Note(f"{_named(alike).capitalize()} have the same result, bit for bit.")
    if found.repeats:
        folders = tuple(str(run.path) for run in found.repeats)
        yield Note("Left out, since a run with the same settings and seed stands in a row:", folders)


def _named(rows: Sequence[Row]) -> str:
    """'row 3', 'rows 1, 2'."""
    return f"{'row' if len(rows) == 1 else 'rows'} {', '.join(str(row.number) for row in rows)}"
