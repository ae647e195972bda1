"""Which means differ: paired t-tests on the same episodes, Holm's correction, compact letters."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.05


@dataclass(frozen=True)
class Difference:
    """mean: of first - second · ci95: half-width of its interval · p: two-sided."""

    mean: float
    ci95: float
    p: float


def difference(first: np.ndarray, second: np.ndarray) -> Difference:
    """Student's paired t-test. first [K, E] and second [L, E]: K and L trainings, the same E episodes.

    The values of the trainings of a side are averaged. Where a side has several, their spread (the standard deviation
    of their means, over √K) is part of the standard error, so that the test speaks of the method and not of the
    weights that came out; degrees of freedom by Welch and Satterthwaite. With one training a side this is the
    ordinary paired test over episodes.
    """
    paired = first.mean(0) - second.mean(0)  # [E]
    mean = float(paired.mean())
    if len(paired) < 2:
        return Difference(mean, math.inf, 1.0)
    parts = [_variance_of_mean(paired)]
    parts += [_variance_of_mean(side.mean(1)) for side in (first, second) if len(side) > 1]
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return Difference(mean, 0.0, float(mean == 0))
    error = math.sqrt(variance)
    freedom = variance**2 / sum(part**2 / freedom for part, freedom in parts)

    from scipy.special import stdtr, stdtrit  # a fraction of the import time of scipy.stats

    return Difference(
        mean, error * float(stdtrit(freedom, 0.975)), 2 * float(stdtr(freedom, -abs(mean) / error))
    )


def holm(p: Sequence[float]) -> list[float]:
    """The p-values of a family of tests, so enlarged that each may be held against the level of the whole family.

    Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics, 1979.
    """
    enlarged = [0.0] * len(p)
    least = 0.0
    for rank, place in enumerate(sorted(range(len(p)), key=lambda place: p[place])):
        least = max(least, min(1.0, (len(p) - rank) * p[place]))
        enlarged[place] = least
    return enlarged


def compact_letters(rows: int, differ: Collection[tuple[int, int]]) -> list[list[int]]:
    """For each row the letters it has, as numbers from 0; two rows share one exactly where they do not differ.

    Insert and absorb: Piepho, "An algorithm for a letter-based representation of all-pairwise comparisons", Journal
    of Computational and Graphical Statistics, 2004.
    """
    groups = [frozenset(range(rows))]
    for pair in differ:
        split = [group - {row} for group in groups if group.issuperset(pair) for row in pair]
        kept = [group for group in groups if not group.issuperset(pair)]
        new = [group for group in split if not any(group <= other for other in kept)]
        groups = kept + [group for group in dict.fromkeys(new) if not any(group < other for other in new)]
    groups.sort(key=sorted)
    return [[letter for letter, group in enumerate(groups) if row in group] for row in range(rows)]


def _variance_of_mean(values: np.ndarray) -> tuple[float, int]:
    """And its degrees of freedom. values [n > 1]"""
    return float(values.var(ddof=1)) / len(values), len(values) - 1
