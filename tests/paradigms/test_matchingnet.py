import pytest
import torch
import torch.nn.functional as F
from torch import nn

from metacli.episode import TaskSpec
from metacli.paradigms.matchingnet import MatchingNet
from metacli.runtime import seeded

SPEC = TaskSpec("classify", (1, 9, 10), 3)


@pytest.fixture
def make_matchingnet(make_backbone):
    def make(*, full_context=False, scale=5.0, bn_mode="running", **backbone):
        network = make_backbone(**backbone)
        with seeded(0, "weights"):
            return MatchingNet(
                spec=SPEC,
                backbone=network,
                features=network.features,
                full_context=full_context,
                scale=scale,
                bn_mode=bn_mode,
            ).double()

    return make


def embedded(learner, episode):
    return [learner.backbone(s.inputs["x"]) for s in (episode.support, episode.query)]


def plain_answer(support, labels, query, scale):
    """log(p + 1e-6) of one query, item by item: p is the share of attention that each class gets."""
    cosines = torch.stack([z @ query / (z.norm() * query.norm()) for z in support])
    weights = torch.exp(scale * cosines) / torch.exp(scale * cosines).sum()
    shares = [sum(w for w, label in zip(weights, labels, strict=True) if label == c) for c in range(3)]
    return torch.log(torch.stack(shares) + 1e-6)


def test_a_class_is_as_likely_as_the_attention_that_its_support_items_get(make_matchingnet, make_episode):
    learner, episode = make_matchingnet().eval(), make_episode()
    got = learner.adapt(episode.support)(episode.query.inputs)
    support, query = embedded(learner, episode)
    for t in range(len(episode)):
        labels = episode.support.labels[t]
        expected = torch.stack([plain_answer(support[t], labels, z, 5.0) for z in query[t]])
        torch.testing.assert_close(got[t], expected)
    torch.testing.assert_close(got.exp().sum(2), torch.full((2, 9), 1 + 3e-6).double())


def torchs(cell, ours, **options):
    """torch's LSTM with our weights."""
    layer = cell(ours.input.weight.shape[1], ours.recurrent.weight.shape[1], **options).double()
    names = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    weights = [ours.input.weight, ours.recurrent.weight, ours.input.bias, ours.recurrent.bias]
    suffix = "_l0" if cell is nn.LSTM else ""
    layer.load_state_dict({name + suffix: tensor for name, tensor in zip(names, weights, strict=True)})
    return layer


def test_the_full_context_is_that_of_torchs_lstms(make_matchingnet, make_episode):
    learner, episode = make_matchingnet(full_context=True).eval(), make_episode()
    with torch.no_grad():
        for name, parameter in learner.context.named_parameters():
            parameter.add_(
                0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
            )
    got = learner.adapt(episode.support)(episode.query.inputs)
    forwards = torchs(nn.LSTM, learner.context.forwards)
    backwards = torchs(nn.LSTM, learner.context.backwards)
    cell = torchs(nn.LSTMCell, learner.context.cell)
    for t, (z, query) in enumerate(zip(*embedded(learner, episode), strict=True)):
        support = z + forwards(z)[0] + backwards(z.flip(0))[0].flip(0)
        h, c = query, torch.zeros_like(query)
        for _ in range(len(support)):
            read = (h @ support.T).softmax(1) @ support
            h, c = cell(torch.cat([query, read], 1), (h, c))
            h = h + query
        labels = episode.support.labels[t]
        torch.testing.assert_close(got[t], torch.stack([plain_answer(support, labels, z, 5.0) for z in h]))


def test_training_runs_support_and_queries_through_in_one_batch(make_matchingnet, make_episode):
    learner, episode = make_matchingnet().train(), make_episode()
    both = torch.cat([s.inputs["x"] for s in (episode.support, episode.query)], 1)
    support, query = learner.backbone(both).split([6, 9], 1)
    for t, loss in enumerate(learner.meta_loss(episode)):
        labels = episode.support.labels[t]
        outputs = torch.stack([plain_answer(support[t], labels, z, 5.0) for z in query[t]])
        torch.testing.assert_close(loss, F.cross_entropy(outputs, episode.query.labels[t]))
        published = F.nll_loss(outputs, episode.query.labels[t])
        torch.testing.assert_close(loss, published + torch.tensor(1 + 3e-6).double().log())


def test_with_a_large_scale_the_nearest_neighbour_by_angle_decides(make_matchingnet, make_episode):
    learner, episode = make_matchingnet(kind="pixels", scale=1e6).eval(), make_episode(tasks=20)
    got = learner.adapt(episode.support)(episode.query.inputs).argmax(2)
    support, query = (F.normalize(z, dim=2) for z in embedded(learner, episode))
    nearest = (query @ support.transpose(1, 2)).argmax(2)
    assert torch.equal(got, episode.support.labels.gather(1, nearest))


def test_the_scale_is_learned(make_matchingnet, make_episode):
    learner, step = make_matchingnet(), 1e-6
    learner.meta_loss(make_episode()).mean().backward()
    losses = []
    for sign in (1, -1):
        learner.scale.data += sign * step
        losses.append(learner.meta_loss(make_episode()).mean().item())
        learner.scale.data -= sign * step
    assert learner.scale.grad.item() == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-5)
