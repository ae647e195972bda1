"""The interval over seeds and episodes, against sums done otherwise."""

import math

import numpy as np
import pytest
from scipy import stats

from metacli.report.pooling import Pooled, pooled


def test_one_seed_has_the_interval_of_its_run_and_no_spread():
    assert pooled([0.8], [0.02]) == Pooled(0.8, 0.02, None)


def test_seeds_that_agree_do_not_make_the_interval_narrower_since_they_answer_the_same_episodes():
    found = pooled([0.8, 0.8, 0.8], [0.02, 0.02, 0.02])
    assert found.ci95 == pytest.approx(0.02)
    assert found.spread == 0


def test_without_noise_of_episodes_it_is_students_interval_over_the_seeds():
    means = [0.80, 0.83, 0.78, 0.86]
    low, high = stats.t.interval(0.95, 3, np.mean(means), stats.sem(means))
    found = pooled(means, [0.0] * 4)
    assert found.ci95 == pytest.approx((high - low) / 2)
    assert found.spread == pytest.approx(np.std(means, ddof=1))
    assert pooled(means, [None] * 4) == found


def test_both_variances_add_up_and_the_degrees_of_freedom_are_those_of_welch_and_satterthwaite():
    means, intervals = [0.80, 0.84], [0.01, 0.03]
    of_seeds = np.var(means, ddof=1) / 2
    of_episodes = np.mean([(ci95 / 1.96) ** 2 for ci95 in intervals])
    freedom = (of_seeds + of_episodes) ** 2 / (of_seeds**2 / 1)
    wanted = stats.t.ppf(0.975, freedom) * math.sqrt(of_seeds + of_episodes)
    assert pooled(means, intervals).ci95 == pytest.approx(wanted)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """5000 sweeps of 3 seeds and 50 episodes: a seed, an episode and the two together have noise of their own."""
    random = np.random.default_rng(0)
    sweeps, seeds, episodes = 5000, 3, 50
    values = (
        0.05 * random.normal(size=(sweeps, seeds, 1))
        + 0.3 * random.normal(size=(sweeps, 1, episodes))
        + 0.1 * random.normal(size=(sweeps, seeds, episodes))
    )
    means = values.mean(2)
    intervals = 1.96 * values.std(2) / np.sqrt(episodes)
    found = [pooled(*pair) for pair in zip(means.tolist(), intervals.tolist(), strict=True)]
    held = np.mean([abs(one.mean) <= one.ci95 for one in found])
    assert 0.95 <= held < 0.98
    naive = 1.96 * values.reshape(sweeps, -1).std(1) / np.sqrt(seeds * episodes)
    assert np.mean(np.abs(means.mean(1)) <= naive) < 0.8


def test_a_mean_that_is_no_number_makes_the_row_none():
    assert pooled([0.8, None], [0.02, None]) == Pooled(None, None, None)
