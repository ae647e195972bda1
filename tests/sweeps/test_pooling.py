"""Which runs share a row."""

import pytest

from metacli.sweeps.pooling import rows


def test_jobs_that_differ_in_the_seed_alone_share_a_row(make_sweep, finish):
    sweep = make_sweep(
        (["lr=1", "seed=0"], {"lr": 1, "seed": 0}),
        (["lr=1", "seed=1"], {"lr": 1, "seed": 1}),
        (["lr=2", "seed=0"], {"lr": 2, "seed": 0}),
        (["lr=2", "seed=1"], {"lr": 2, "seed": 1}),
    )
    for job, mean in zip(sweep.jobs[:3], (0.7, 0.8, 0.9), strict=True):
        finish(job, mean, 0.02)
    first, second = rows(sweep.jobs)
    assert (first.configuration, first.seeds, first.missing) == ("lr=1", [0, 1], 0)
    assert first.pooled.mean == pytest.approx(0.75)
    assert (second.configuration, second.seeds, second.missing) == ("lr=2", [0], 1)


def test_the_seed_of_the_data_is_no_seed_of_training(make_sweep, finish):
    sweep = make_sweep(
        (["dataset.seed=0"], {"dataset": {"seed": 0}}), (["dataset.seed=1"], {"dataset": {"seed": 1}})
    )
    assert [row.configuration for row in rows(sweep.jobs)] == ["dataset.seed=0", "dataset.seed=1"]


def test_runs_that_saw_other_episodes_are_not_pooled(make_sweep, finish):
    sweep = make_sweep((["seed=0"], {"seed": 0}), (["seed=1"], {"seed": 1}))
    finish(sweep.jobs[0], 0.7, 0.02)
    finish(sweep.jobs[1], 0.9, 0.02, episode_hash="other")
    assert [row.seeds for row in rows(sweep.jobs)] == [[0], [1]]
    assert {row.configuration for row in rows(sweep.jobs)} == {"maml-glyphs"}
