"""Sine waves as tasks: what they are, that they repeat, and that no split sees those of another."""

import numpy as np
import pytest
import torch

from metacli.data.functions import sources
from metacli.data.sampler import EpisodeShape
from metacli.data.sinusoid import Sinusoid

SHAPE = EpisodeShape(ways=2, shots=10, queries=5)
CPU = torch.device("cpu")


def source(split="train", **settings):
    usual = {"amplitude": [0.1, 5.0], "phase": [0.0, np.pi], "x": [-5.0, 5.0], "noise": 0.0}
    return sources(Sinusoid(**(usual | settings)).build(), CPU)[split]


def episode(split="train", seed=0, step=0, tasks=500, **settings):
    return source(split, **settings).episode(SHAPE, seed=seed, step=step, tasks=tasks)


def points(episode):
    """x, y [T, 15] of support and query together."""
    x = torch.cat([episode.support.inputs["x"], episode.query.inputs["x"]], dim=1)
    y = torch.cat([episode.support.labels, episode.query.labels], dim=1)
    return x[..., 0].double().numpy(), y[..., 0].double().numpy()


def test_support_and_query_lie_on_one_sine_wave_of_each_task():
    x, y = points(episode())
    for task in range(len(x)):
        design = np.stack([np.sin(x[task]), np.cos(x[task])], axis=1)
        (sine, cosine), residual, *_ = np.linalg.lstsq(design, y[task])
        assert residual.sum() < 1e-8
        amplitude, phase = np.hypot(sine, cosine), np.arctan2(-cosine, sine)
        assert 0.1 - 1e-5 <= amplitude <= 5 + 1e-5
        assert -1e-5 <= phase <= np.pi + 1e-5


def test_everything_that_is_drawn_fills_its_range():
    x, y = points(episode(amplitude=[2.0, 2.5], x=[0.0, 7.0]))
    assert 0 <= x.min() < 0.01 < 6.99 < x.max() <= 7
    assert 2.49 < y.max() <= 2.5
    assert -2.5 <= y.min() < -2.49


def test_noise_is_added_with_the_standard_deviation_asked_for():
    _, clean = points(episode())
    _, noisy = points(episode(noise=0.3))
    assert (noisy - clean).std() == pytest.approx(0.3, rel=0.03)


def test_episodes_repeat_with_seed_and_step_and_differ_between_splits():
    def drawn(**options):
        return episode(**options).query.labels

    assert torch.equal(drawn(), drawn())
    for other in ({"seed": 1}, {"step": 1}, {"split": "val"}):
        assert not torch.isin(drawn(), drawn(**other)).any()


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_the_fixed_episodes_do_not_depend_on_how_many_are_asked_for_or_taken_at_once(chunk):
    def fixed(count, chunk):
        parts = list(source("test").fixed_episodes(SHAPE, count, chunk))
        assert max(len(part) for part in parts) <= chunk
        return [
            torch.cat(tensors) for tensors in zip(*((p.query.labels, p.index) for p in parts), strict=True)
        ]

    (whole, numbers), (part, few) = fixed(150, 64), fixed(100, chunk)
    assert torch.equal(whole[:100], part)
    assert numbers.tolist() == list(range(150))
    assert few.tolist() == list(range(100))


def test_validation_and_test_are_other_tasks():
    val, test = (next(source(split).fixed_episodes(SHAPE, 64)) for split in ("val", "test"))
    assert not torch.isin(val.query.labels, test.query.labels).any()


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_queries_are_other_points_than_the_support_set(split):
    drawn = [episode(split, tasks=20), next(source(split).fixed_episodes(SHAPE, 20))]
    for one in drawn:
        given, asked = (
            part.inputs["x"][..., 0].unsqueeze(d) for d, part in ((1, one.support), (2, one.query))
        )
        assert not (given == asked).any()
