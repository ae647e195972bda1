import pytest
import torch
import torch.nn.functional as F
from torch import nn

from metacli.episode import TaskSpec
from metacli.paradigms.tpn import TPN

SPEC = TaskSpec("classify", (1, 9, 10), 3)
K, ALPHA = 5, 0.9


@pytest.fixture
def make_tpn(make_backbone):
    def make(*, bn_mode="running", **backbone):
        network = make_backbone(**backbone)
        learner = TPN(
            spec=SPEC, backbone=network, features=network.features, neighbours=K, alpha=ALPHA, bn_mode=bn_mode
        ).double()
        random = torch.Generator().manual_seed(0)
        shape = learner.scale.weight.shape
        learner.scale.weight = nn.Parameter(0.3 * torch.randn(shape, generator=random).double())
        return learner

    return make


def plain_logits(scale, z, labels):
    """Item by item. z [M, D] of support and queries, labels of the first -> [M, W]"""
    count = len(z)
    scaled = [x / F.softplus(scale.weight[0] @ x + scale.bias[0]) for x in z]
    w = torch.stack([torch.stack([torch.exp(-((p - q) ** 2).mean() / 2) for q in scaled]) for p in scaled])
    near = torch.zeros(count, count, dtype=torch.bool)
    for i in range(count):
        near[i, w[i].argsort(descending=True)[:K]] = True
    w = torch.where(near | near.T, w, 0)
    d = torch.diag(w.sum(1) ** -0.5)
    y = torch.zeros(count, 3).double()
    y[torch.arange(len(labels)), labels] = 1
    return torch.linalg.inv(torch.eye(count).double() - ALPHA * d @ w @ d) @ y


def test_queries_are_answered_by_the_inverse_of_the_papers(make_tpn, make_episode):
    learner, episode = make_tpn().eval(), make_episode()
    got = learner.adapt(episode.support)(episode.query.inputs)
    z = torch.cat([learner.backbone(s.inputs["x"]) for s in (episode.support, episode.query)], 1)
    for t in range(len(episode)):
        torch.testing.assert_close(got[t], plain_logits(learner.scale, z[t], episode.support.labels[t])[6:])


def test_the_loss_is_that_of_support_and_queries_which_go_through_in_one_batch(make_tpn, make_episode):
    learner, episode = make_tpn().train(), make_episode()
    z = learner.backbone(episode.everything().inputs["x"])
    losses = [
        F.cross_entropy(plain_logits(learner.scale, z[t], episode.support.labels[t]), labels)
        for t, labels in enumerate(episode.everything().labels)
    ]
    got = learner.meta_loss(episode)
    torch.testing.assert_close(got, torch.stack(losses))
    (slope,), (expected,) = (
        torch.autograd.grad(loss.sum(), learner.scale.weight, retain_graph=True)
        for loss in (got, torch.stack(losses))
    )
    torch.testing.assert_close(slope, expected)
    assert slope.abs().max() > 0


def test_the_spread_is_one_to_begin_with(make_backbone):
    learner = TPN(
        spec=SPEC, backbone=make_backbone(), features=6, neighbours=K, alpha=ALPHA, bn_mode="running"
    )
    spread = F.softplus(learner.scale(torch.randn(2, 3, 6)))
    torch.testing.assert_close(spread, torch.ones(2, 3, 1))
