import pytest
import torch
import torch.nn.functional as F

from metacli.backbones.cnn import CNN
from metacli.config.compose import composed, values_of
from metacli.episode import TaskSpec
from metacli.paradigms.relationnet import Relation, RelationNet

SPEC = TaskSpec("classify", (1, 9, 10), 3)


@pytest.fixture
def make_relationnet(make_backbone):
    def make(*, bn_mode="batch"):
        backbone = make_backbone(downsample="max_pool", depth=1)
        learner = RelationNet(
            spec=SPEC, backbone=backbone, map_shape=backbone.map_shape, width=5, hidden=3, bn_mode=bn_mode
        ).double()
        random = torch.Generator().manual_seed(0)
        for name, tensor in learner.relation.state_dict().items():
            if not name.endswith("running_var"):
                tensor.add_(0.3 * torch.randn(tensor.shape, generator=random))
        return learner

    return make


def plain_scores(relation, support, labels, query):
    """Every pair on its own, as images of torch's. support [N, H, W, C], query [Q, H, W, C] -> [Q, W]"""
    classes = [sum(x for x, label in zip(support, labels, strict=True) if label == c) for c in range(3)]
    pairs = torch.stack([torch.cat([c, q], 2) for q in query for c in classes]).permute(0, 3, 1, 2)
    both = torch.cat([relation.of_class.weight, relation.of_query.weight], 3)
    for weight, norm in ((both, relation.first_norm), (relation.second.weight, relation.second_norm)):
        pairs = F.conv2d(pairs, weight.permute(0, 3, 1, 2), padding=1)
        pairs = F.batch_norm(pairs, None, None, norm.weight, norm.bias, training=True).relu()
        pairs = F.max_pool2d(pairs, 2)
    flat = pairs.permute(0, 2, 3, 1).flatten(1)
    hidden = F.linear(flat, relation.hidden.weight, relation.hidden.bias).relu()
    scores = F.linear(hidden, relation.score.weight, relation.score.bias).sigmoid()
    return scores.view(len(query), 3)


def maps(learner, examples):
    return learner.backbone(examples.inputs["x"]).unflatten(2, learner.map_shape)


def test_a_score_is_that_of_the_two_maps_beside_each_other(make_relationnet, make_episode):
    learner, episode = make_relationnet().eval(), make_episode()
    got = learner.adapt(episode.support)(episode.query.inputs).exp()
    support, query = maps(learner, episode.support), maps(learner, episode.query)
    for t in range(len(episode)):
        expected = plain_scores(learner.relation, support[t], episode.support.labels[t], query[t])
        torch.testing.assert_close(got[t], expected)


def test_the_loss_is_the_squared_error_of_the_scores(make_relationnet, make_episode):
    learner, episode = make_relationnet().train(), make_episode()
    support, query = maps(learner, episode.support), maps(learner, episode.query)
    losses = [
        F.mse_loss(
            plain_scores(learner.relation, support[t], episode.support.labels[t], query[t]),
            F.one_hot(labels, 3).double(),
        )
        for t, labels in enumerate(episode.query.labels)
    ]
    torch.testing.assert_close(learner.meta_loss(episode), torch.stack(losses))
    predictor = learner.adapt(episode.support)
    torch.testing.assert_close(learner.query_loss(predictor, episode.query), torch.stack(losses))


def test_backbone_and_relation_have_the_published_sizes():
    values = values_of(composed(["paradigm=relationnet"])[0])
    backbone = CNN(shape=(1, 28, 28), **{k: v for k, v in values["backbone"].items() if k != "name"})
    assert backbone.map_shape == (5, 5, 64)
    own = values["paradigm"]
    relation = Relation(backbone.map_shape, width=own["width"], hidden=own["hidden"])
    blocks = 3 * 3 * 128 * 64 + 3 * 3 * 64 * 64 + 2 * 2 * 64  # without the biases that batch norm cancels
    assert sum(parameter.numel() for parameter in relation.parameters()) == blocks + 64 * 8 + 8 + 8 + 1
