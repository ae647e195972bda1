import numpy as np
import pytest

from metacli.report.compare.measured import SEEN, measured
from metacli.report.compare.ranking import TOGETHER, compare


@pytest.fixture
def random():
    return np.random.default_rng(0)


@pytest.fixture
def episodes(random):
    """What 60 episodes have in common, whoever answers them."""
    return random.normal(0.6, 0.08, 60)


@pytest.fixture
def run(save_run, random, episodes):
    """A run whose accuracy is `better` than 0.6, in the mean."""

    def make(better: float, name: str = "a", **how):
        values = (episodes + better + random.normal(0, 0.01, 60)).tolist()
        return measured(save_run(name, values, **how))

    return make


def numbers(found):
    return [round(row.headline[0] - 0.6, 1) for row in found.rows]


def test_rows_are_ranked_from_the_best_and_those_alike_share_a_letter(run):
    runs = [run(0.0), run(0.2, paradigm="protonet"), run(0.2, paradigm="anil", steps=9)]
    (found,) = compare(runs)
    (ranking,) = found.rankings
    assert numbers(found) == [0.2, 0.2, 0.0]
    assert [row.number for row in ranking.rows] == [1, 2, 3]
    assert ranking.groups == ("a", "a", "b")
    assert [pair.significant for pair in ranking.pairs] == [False, True, True]


def test_of_an_error_the_smallest_is_the_best(save_run):
    paths = [
        save_run(str(place), [mean, mean + 0.1, mean - 0.1], metric="mse")
        for place, mean in enumerate((3, 1, 2))
    ]
    (found,) = compare([measured(path) for path in paths])
    assert [row.headline[0] for row in found.rows] == pytest.approx([1, 2, 3])


def test_pairing_finds_what_the_spread_over_episodes_hides(run):
    (found,) = compare([run(0.0), run(0.01)])
    first, second = found.rows
    assert (
        first.headline[0] - first.headline[1] < second.headline[0]
    )  # each mean lies in the other's interval
    assert found.pairs[0].significant


def test_p_is_corrected_for_the_number_of_pairs(run):
    (found,) = compare([run(better) for better in (0.0, 0.002, 0.004, 0.2)])
    assert len(found.pairs) == 6
    least = min(found.pairs, key=lambda pair: pair.difference.p)
    assert least.p == pytest.approx(6 * least.difference.p, rel=1e-9, abs=0)
    assert all(pair.p >= pair.difference.p for pair in found.pairs)


@pytest.mark.parametrize(
    "other",
    [{"shots": 5}, {"split": "val"}, {"data": "omniglot"}, {"classes": "split 1"}, {"metric": "mse"}],
    ids=lambda other: next(iter(other)),
)
def test_runs_that_were_asked_other_questions_are_in_another_set(run, other):
    sets = compare([run(0.0, **other), run(0.1), run(0.2)])
    assert [len(found.rows) for found in sets] == [2, 1]
    assert [row.number for found in sets for row in found.rows] == [1, 2, 3]
    assert sets[1].pairs == []


def test_fewer_of_the_same_episodes_are_another_set(save_run):
    paths = [save_run("a", [0.5] * count, episode_hash="the same") for count in (10, 20)]
    assert len(compare([measured(path) for path in paths])) == 2


def test_transductive_and_inductive_runs_share_a_table_but_no_ranking(run):
    (found,) = compare([run(0.2, bn_mode="batch"), run(0.0), run(0.1, bn_mode="support")])
    inductive, transductive = found.rankings
    assert (inductive.standing, transductive.standing) == ("inductive", "transductive")
    assert numbers(found) == [0.1, 0.0, 0.2]
    assert (inductive.groups, transductive.groups) == (("a", "b"), ("",))
    assert len(found.pairs) == 1


def test_they_are_ranked_together_where_that_is_asked_for(run, save_run):
    (found,) = compare([run(0.2, bn_mode="batch"), run(0.0), run(0.1, bn_mode="support")], across_bn=True)
    (ranking,) = found.rankings
    assert ranking.standing == TOGETHER
    assert numbers(found) == [0.2, 0.1, 0.0]
    assert len(ranking.pairs) == 3


def test_what_may_have_seen_the_test_classes_is_never_ranked_with_others(run, save_run):
    knowing = run(0.3, classes="split 1", of=save_run("before", [0.5]))
    (found,) = compare([run(0.0, classes="split 1"), run(0.1, classes="split 1"), knowing], across_bn=True)
    assert [ranking.standing for ranking in found.rankings] == [TOGETHER, SEEN]
    assert len(found.pairs) == 1


def test_runs_that_differ_in_the_seed_alone_become_one_row(run):
    runs = [run(better, seed=seed) for seed, better in zip((2, 0, 1), (0.1, 0.2, 0.3), strict=True)]
    (found,) = compare([*runs, run(0.0, paradigm="protonet"), run(0.0, steps=5)], over_seeds=True)
    row, *others = found.rows
    assert [len(other.runs) for other in others] == [1, 1]
    assert row.seeds == [0, 1, 2]
    mean, half = row.headline
    assert mean == pytest.approx(np.mean([run.values.mean() for run in runs]))
    assert half > 5 * max(
        run.report["metrics"]["accuracy"]["ci95"] for run in runs
    )  # the seeds lie far apart
    assert row.metric("macro_f1") == 0.5
    assert row.seconds == 90.0


def test_a_seed_counts_once(run):
    runs = [run(0.1, seed=0), run(0.1, seed=1), run(0.1, seed=1)]
    (found,) = compare(runs, over_seeds=True)
    assert [row.seeds for row in found.rows] == [[0, 1]]
    assert list(found.repeats) == [runs[1]]


def test_evaluations_of_trainings_that_differ_are_no_seeds_of_one_another(run, save_run):
    one, other = (save_run(str(steps), [0.5], steps=steps) for steps in (5, 9))
    runs = [run(0.0, of=one, steps=5, seed=0), run(0.0, of=other, steps=5, seed=1)]
    (found,) = compare(runs, over_seeds=True)
    assert [len(row.runs) for row in found.rows] == [1, 1]


@pytest.mark.parametrize(
    "other", [{"bn_mode": "support"}, {"classes": "split 1"}], ids=["bn mode", "training data"]
)
def test_runs_that_differ_in_more_than_the_seed_have_a_row_each(run, other):
    (found,) = compare(
        [run(0.0, episode_hash="0"), run(0.0, seed=1, episode_hash="0", **other)], over_seeds=True
    )
    assert [len(row.runs) for row in found.rows] == [1, 1]


def test_the_batch_norm_mode_is_told_in_its_own_column_alone(run):
    (found,) = compare([run(0.0), run(0.1, bn_mode="support")])
    assert [row.settings for row in found.rows] == [(), ()]


def test_a_row_tells_the_settings_in_which_it_differs_from_others_of_its_method(run):
    (found,) = compare([run(0.3, steps=5), run(0.2, steps=9), run(0.1, paradigm="protonet", steps=7)])
    assert [row.settings for row in found.rows] == [("trainer.steps=5",), ("trainer.steps=9",), ()]


def test_beyond_the_alphabet_groups_are_numbered(run):
    (found,) = compare([run(place / 5) for place in range(27)])
    assert found.rankings[0].groups == tuple(str(number) for number in range(1, 28))


def test_a_run_alone_has_no_letter(run):
    (found,) = compare([run(0.0)])
    assert found.rankings[0].groups == ("",)
