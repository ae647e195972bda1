import pytest
import torch
import torch.nn.functional as F

from metacli.backbones.conv4 import Conv4
from metacli.episode import Episode, Examples, TaskSpec
from metacli.heads.centroid import class_means, negative_squared_distance
from metacli.paradigms.protonet import ProtoNet

SPEC = TaskSpec("classify", (1, 9, 10), 3)


@pytest.fixture
def make_protonet(make_backbone):
    def make(bn_mode="running", **backbone):
        return ProtoNet(spec=SPEC, backbone=make_backbone(**backbone), bn_mode=bn_mode)

    return make


def plain_logits(support, labels, query):
    """The definition, with a loop over queries and classes. support [N, D], query [M, D] -> [M, W]."""
    means = [support[labels == c].mean(0) for c in range(SPEC.outputs)]
    return torch.stack([torch.stack([-(z - mean).square().sum() for mean in means]) for z in query])


def changed(examples, **parts):
    whole = {name: getattr(examples, name) for name in ("inputs", "labels", "mask", "rows", "classes")}
    return Examples(**whole | parts)


def test_logits_are_minus_the_squared_distance_to_the_class_means(make_protonet, make_episode):
    learner, episode = make_protonet().eval(), make_episode()
    got = learner.adapt(episode.support)(episode.query.inputs)
    for t in range(len(episode)):
        support, query = (
            learner.backbone(s.inputs["x"][t : t + 1])[0] for s in (episode.support, episode.query)
        )
        expected = plain_logits(support, episode.support.labels[t], query)
        torch.testing.assert_close(got[t], expected)


def test_with_one_shot_the_nearest_neighbour_decides(make_protonet, make_episode):
    learner, episode = make_protonet(kind="pixels").eval(), make_episode(shots=1, tasks=20)
    got = learner.adapt(episode.support)(episode.query.inputs).argmax(2)
    support, query = (s.inputs["x"].flatten(2) for s in (episode.support, episode.query))
    assert torch.equal(got, torch.cdist(query, support).argmin(2))


def test_training_runs_support_and_queries_through_in_one_batch(make_protonet, make_episode):
    learner, episode = make_protonet("running").train(), make_episode()
    losses = []
    for t in range(len(episode)):
        images = torch.cat([s.inputs["x"][t : t + 1] for s in (episode.support, episode.query)], 1)
        features = learner.backbone(images)[0]
        items = episode.support.labels.shape[1]
        logits = plain_logits(features[:items], episode.support.labels[t], features[items:])
        losses.append(F.cross_entropy(logits, episode.query.labels[t]))
    got = learner.meta_loss(episode)
    torch.testing.assert_close(got, torch.stack(losses))
    parameters = list(learner.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(got.mean(), parameters),
        torch.autograd.grad(torch.stack(losses).mean(), parameters),
        rtol=1e-9,
        atol=1e-12,
    )


def test_in_batch_mode_training_runs_the_two_sets_apart(make_protonet, make_episode):
    learner, episode = make_protonet("batch").train(), make_episode()
    expected = learner.query_loss(learner.adapt(episode.support), episode.query)
    joint = make_protonet("running").train().meta_loss(episode)
    assert torch.equal(learner.meta_loss(episode), expected)
    assert not torch.allclose(joint, expected)


def test_the_meta_gradient_in_support_mode_flows_through_the_support_statistics(make_protonet, make_episode):
    learner, episode, step = make_protonet("support"), make_episode(), 1e-6
    parameter = learner.backbone.blocks[0].conv.weight
    gradient = torch.autograd.grad(learner.meta_loss(episode).mean(), parameter)[0].view(-1)
    place = gradient.abs().argmax()
    losses = []
    for sign in (1, -1):
        parameter.data.view(-1)[place] += sign * step
        losses.append(learner.meta_loss(episode).mean().item())
        parameter.data.view(-1)[place] -= sign * step
    assert gradient[place].item() == pytest.approx((losses[0] - losses[1]) / (2 * step), rel=1e-5)


def test_items_that_do_not_count_are_left_out_of_the_class_means(make_episode):
    support = make_episode(shots=3).support
    features = support.inputs["x"].flatten(2)
    kept = torch.arange(9) % 3 != 1  # the second of each class does not count
    expected = class_means(
        features[:, kept], changed(support, labels=support.labels[:, kept], mask=support.mask[:, kept])
    )
    masked = changed(support, mask=kept.expand(2, -1))
    nobody = changed(support, labels=support.labels.masked_fill(~kept, -1))
    for examples in (masked, nobody):
        torch.testing.assert_close(class_means(features, examples), expected)


def test_the_ways_at_evaluation_may_differ_from_those_of_training(make_protonet, make_episode):
    learner, episode = make_protonet().eval(), make_episode()
    two = episode.support.labels[0] < 2
    support = changed(
        episode.support,
        inputs={"x": episode.support.inputs["x"][:, two]},
        labels=episode.support.labels[:, two],
        mask=episode.support.mask[:, two],
        classes=episode.support.classes[:, :2],
    )
    whole = learner.adapt(episode.support)(episode.query.inputs)
    torch.testing.assert_close(learner.adapt(support)(episode.query.inputs), whole[:, :, :2])


def test_distances_by_product_are_distances():
    features, centroids = torch.randn(2, 5, 7).double(), torch.randn(2, 3, 7).double()
    expected = -torch.cdist(features, centroids).square()
    torch.testing.assert_close(negative_squared_distance(features, centroids), expected)


def test_queries_that_do_not_count_leave_the_loss_alone(make_protonet, make_episode):
    learner, episode = make_protonet("batch", norm="none"), make_episode(queries=2)
    kept = torch.arange(6) % 2 == 0
    query = episode.query
    part = changed(
        query,
        inputs={"x": query.inputs["x"][:, kept]},
        labels=query.labels[:, kept],
        mask=query.mask[:, kept],
    )
    masked = changed(query, mask=kept.expand(2, -1))
    nobody = changed(query, labels=query.labels.masked_fill(~kept, -1))
    losses = [learner.meta_loss(Episode(episode.support, q, episode.index)) for q in (part, masked, nobody)]
    torch.testing.assert_close(losses[1], losses[0])
    torch.testing.assert_close(losses[2], losses[0])


def test_the_encoder_has_the_published_parameters_but_for_biases_that_cancel():
    backbone = Conv4(shape=(1, 28, 28), width=64, depth=4, downsample="max_pool", norm="batch")
    learner = ProtoNet(spec=SPEC, backbone=backbone, bn_mode="running")
    assert sum(parameter.numel() for parameter in learner.parameters()) == 111936 - 4 * 64
