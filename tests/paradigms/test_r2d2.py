import math

import pytest
import torch
import torch.nn.functional as F

from metacli.episode import TaskSpec
from metacli.heads.labels import one_hot
from metacli.paradigms.r2d2 import R2D2

SPEC = TaskSpec("classify", (1, 9, 10), 3)


@pytest.fixture
def make_r2d2(make_backbone):
    def make(*, ridge=0.7, scale=2.0, bn_mode="running", **backbone):
        return R2D2(
            spec=SPEC, backbone=make_backbone(**backbone), ridge=ridge, scale=scale, bn_mode=bn_mode
        ).double()

    return make


def plain_logits(support, labels, query, ridge, scale):
    """The definition, in its primal form."""
    targets = F.one_hot(labels, SPEC.outputs).double()
    covariance = support.T @ support + ridge * torch.eye(support.shape[1])
    return scale * query @ torch.linalg.inv(covariance) @ support.T @ targets


@pytest.mark.parametrize("shots", [1, 5])  # fewer items than the 6 features, and more
def test_logits_are_the_scaled_prediction_of_a_ridge_regression_on_one_hot_labels(
    shots, make_r2d2, make_episode
):
    learner, episode = make_r2d2().eval(), make_episode(shots=shots)
    got = learner.adapt(episode.support)(episode.query.inputs)
    support, query = (learner.backbone(s.inputs["x"]) for s in (episode.support, episode.query))
    for t in range(len(episode)):
        expected = plain_logits(support[t], episode.support.labels[t], query[t], 0.7, 2.0)
        torch.testing.assert_close(got[t], expected, rtol=1e-6, atol=1e-6)


def test_training_runs_support_and_queries_through_in_one_batch(make_r2d2, make_episode):
    learner, episode = make_r2d2().train(), make_episode()
    images = torch.cat([s.inputs["x"] for s in (episode.support, episode.query)], 1)
    support, query = learner.backbone(images).split([6, 9], 1)
    losses = [
        F.cross_entropy(plain_logits(s, labels, q, 0.7, 2.0), truth)
        for s, labels, q, truth in zip(
            support, episode.support.labels, query, episode.query.labels, strict=True
        )
    ]
    torch.testing.assert_close(learner.meta_loss(episode), torch.stack(losses), rtol=1e-6, atol=1e-6)


def test_under_a_large_ridge_it_compares_with_the_sums_of_the_classes(make_r2d2, make_episode):
    learner, episode = make_r2d2(ridge=1e9, scale=1e9).eval(), make_episode()
    support, query = (learner.backbone(s.inputs["x"]) for s in (episode.support, episode.query))
    sums = one_hot(episode.support, torch.float64).transpose(1, 2) @ support
    got = learner.adapt(episode.support)(episode.query.inputs)
    torch.testing.assert_close(got, query @ sums.transpose(1, 2), rtol=1e-5, atol=1e-5)


def test_the_ridge_and_the_scale_are_learned(make_r2d2, make_episode):
    learner, episode = make_r2d2(), make_episode()
    learner.meta_loss(episode).mean().backward()
    for parameter, value in ((learner.log_ridge, math.log(0.7)), (learner.scale, 2.0)):
        assert parameter.item() == pytest.approx(value)
        step, losses = 1e-6, []
        for sign in (1, -1):
            parameter.data += sign * step
            losses.append(learner.meta_loss(episode).mean().item())
            parameter.data -= sign * step
        assert parameter.grad.item() == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-5)
