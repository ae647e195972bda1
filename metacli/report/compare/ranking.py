"""Runs in sets that were asked the same questions, ranked within them, and what differs significantly."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from string import ascii_lowercase

from metacli.metrics import METRICS
from metacli.report.compare.measured import SEEN, Measured
from metacli.report.compare.rows import Row, grouped, make_rows
from metacli.report.compare.significance import LEVEL, Difference, compact_letters, difference, holm

TOGETHER = "inductive and transductive"


@dataclass(frozen=True)
class Pair:
    """p: after Holm's correction over all pairs of the ranking."""

    first: Row
    second: Row
    difference: Difference
    p: float

    @property
    def significant(self) -> bool:
        return self.p < LEVEL


@dataclass(frozen=True)
class Ranking:
    """Rows from the best on. groups: the letters of each, none where there is but one row."""

    standing: str
    rows: tuple[Row, ...]
    groups: tuple[str, ...]
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class Comparable:
    """Rows that were asked the same questions. repeats: runs left out, as a row has their seed already."""

    rankings: tuple[Ranking, ...]
    repeats: tuple[Measured, ...]

    @property
    def rows(self) -> list[Row]:
        return [row for ranking in self.rankings for row in ranking.rows]

    @property
    def pairs(self) -> list[Pair]:
        return [pair for ranking in self.rankings for pair in ranking.pairs]

    @property
    def first(self) -> Measured:
        return self.rows[0].first

    @property
    def metric(self) -> str:
        return self.first.primary


def compare(
    runs: Sequence[Measured], *, over_seeds: bool = False, across_bn: bool = False
) -> list[Comparable]:
    """The largest set first. over_seeds: runs that differ in nothing but the seed become one row ·
    across_bn: transductive and inductive rows are ranked together."""
    sets = sorted(grouped(runs, lambda run: run.questions), key=len, reverse=True)
    numbers = iter(range(1, len(runs) + 1))
    return [_comparable(members, numbers, over_seeds, across_bn) for members in sets]


def _comparable(
    runs: Sequence[Measured], numbers: Iterator[int], over_seeds: bool, across_bn: bool
) -> Comparable:
    def standing(row: Row) -> str:
        return TOGETHER if across_bn and row.first.standing != SEEN else row.first.standing

    rows, repeats = make_rows(runs, over_seeds=over_seeds)
    ranked = sorted(grouped(rows, standing), key=lambda members: standing(members[0]))
    rankings = [_ranking(standing(members[0]), members, numbers) for members in ranked]
    return Comparable(tuple(rankings), tuple(repeats))


def _ranking(standing: str, rows: Sequence[Row], numbers: Iterator[int]) -> Ranking:
    up = METRICS[rows[0].first.primary].higher_is_better
    best_first = sorted(rows, key=lambda row: row.headline[0], reverse=up)
    numbered = [replace(row, number=next(numbers)) for row in best_first]
    places = list(combinations(range(len(rows)), 2))
    values = [row.values for row in numbered]
    tests = [difference(values[i], values[j]) for i, j in places]
    enlarged = holm([test.p for test in tests])
    pairs = [
        Pair(numbered[i], numbered[j], test, p)
        for (i, j), test, p in zip(places, tests, enlarged, strict=True)
    ]
    differ = [place for place, pair in zip(places, pairs, strict=True) if pair.significant]
    groups = _written(compact_letters(len(rows), differ)) if pairs else [""]
    return Ranking(standing, tuple(numbered), tuple(groups), tuple(pairs))


def _written(letters: Sequence[Sequence[int]]) -> list[str]:
    """'ab', or '1,2' where the alphabet does not suffice."""
    if max(number for row in letters for number in row) < len(ascii_lowercase):
        return ["".join(ascii_lowercase[number] for number in row) for row in letters]
    return [",".join(str(number + 1) for number in row) for row in letters]
