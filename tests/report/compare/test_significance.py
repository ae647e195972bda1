"""The statistics of a comparison against slow definitions and known cases."""

import math
from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from metacli.report.compare.significance import compact_letters, difference, holm


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_of_one_training_each_it_is_the_paired_t_test(random):
    first, second = random.normal(0.7, 0.1, 50), random.normal(0.66, 0.1, 50)
    theirs = stats.ttest_rel(first, second)
    ours = difference(first[None], second[None])
    low, high = theirs.confidence_interval(0.95)
    assert ours.p == pytest.approx(theirs.pvalue, rel=1e-9)
    assert (ours.mean - ours.ci95, ours.mean + ours.ci95) == pytest.approx((low, high), rel=1e-9)


def test_of_several_trainings_the_spread_of_either_side_is_part_of_the_error(random):
    first, second = random.normal(0.7, 0.1, (3, 40)), random.normal(0.6, 0.1, (5, 40))
    parts = []  # variance of a mean, degrees of freedom; number by number
    paired = [sum(first[:, e]) / 3 - sum(second[:, e]) / 5 for e in range(40)]
    for values in (paired, [sum(row) / 40 for row in first], [sum(row) / 40 for row in second]):
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        parts.append((variance / len(values), len(values) - 1))
    error = math.sqrt(sum(part for part, _ in parts))
    freedom = error**4 / sum(part**2 / free for part, free in parts)
    mean = sum(paired) / 40
    ours = difference(first, second)
    assert ours.mean == pytest.approx(mean)
    assert ours.p == pytest.approx(2 * stats.t.sf(abs(mean) / error, freedom))
    assert ours.ci95 == pytest.approx(error * stats.t.ppf(0.975, freedom))


def test_methods_that_are_alike_seldom_seem_different_however_much_their_seeds_differ(random):
    """And they often would, were the spread of the seeds left out."""

    def trainings():
        return 0.7 + random.normal(0, 0.02, (3, 1)) + random.normal(0, 0.05, (3, 100))

    pairs = [(trainings(), trainings()) for _ in range(500)]
    assert np.mean([difference(one, other).p < 0.05 for one, other in pairs]) < 0.07
    weights_only = [
        difference(one.mean(0, keepdims=True), other.mean(0, keepdims=True)) for one, other in pairs
    ]
    assert np.mean([found.p < 0.05 for found in weights_only]) > 0.3


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [
        ([0.5, 0.25, 1.0], [0.5, 0.25, 1.0], 1.0),
        ([0.5, 0.25, 1.0], [0.25, 0.0, 0.75], 0.0),
        ([0.5], [0.25], 1.0),
    ],
    ids=["the same values", "the same distance everywhere", "one episode"],
)
def test_where_nothing_varies_there_is_still_an_answer(first, second, p):
    assert difference(np.array([first]), np.array([second])).p == p


def test_holm_on_a_known_case():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_rejects_what_its_definition_rejects(random):
    """The smallest p is held against level / m, the next against level / (m - 1), ...; the first to fail ends it."""
    for _ in range(200):
        p = list(random.uniform(0, 0.1, 8) ** 2)
        for level in (0.01, 0.05, 0.2):
            rejected = set()
            for step, place in enumerate(sorted(range(8), key=lambda place: p[place])):
                if p[place] > level / (8 - step):
                    break
                rejected.add(place)
            assert {place for place, value in enumerate(holm(p)) if value <= level} == rejected


@pytest.mark.parametrize(
    ("rows", "differ", "expected"),
    [
        (1, [], ["a"]),
        (3, [], ["a", "a", "a"]),
        (3, [(0, 1), (0, 2), (1, 2)], ["a", "b", "c"]),
        (3, [(0, 2)], ["a", "ab", "b"]),
        (4, [(0, 3), (1, 3)], ["a", "a", "ab", "b"]),
        (5, [(0, 2), (0, 3), (0, 4), (1, 3), (1, 4), (2, 4)], ["a", "ab", "bc", "cd", "d"]),
        (4, [(0, 1), (2, 3)], ["ab", "cd", "ac", "bd"]),  # what no ordering of means can give
    ],
)
def test_letters_of_known_cases(rows, differ, expected):
    assert ["".join("abcd"[number] for number in row) for row in compact_letters(rows, differ)] == expected


def test_letters_are_shared_exactly_where_rows_do_not_differ_and_none_is_idle(random):
    for _ in range(200):
        rows = int(random.integers(2, 8))
        differ = {pair for pair in combinations(range(rows), 2) if random.random() < 0.5}
        alike = [
            set(group)
            for size in range(1, rows + 1)
            for group in combinations(range(rows), size)
            if not any(pair in differ for pair in combinations(group, 2))
        ]
        largest = [group for group in alike if not any(group < other for other in alike)]
        letters = compact_letters(rows, differ)
        found = [{row for row in range(rows) if letter in letters[row]} for letter in range(len(largest))]
        assert sorted(map(sorted, found)) == sorted(map(sorted, largest))
        assert sum(map(len, letters)) == sum(map(len, largest))
