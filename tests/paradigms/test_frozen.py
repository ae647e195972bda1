import torch

from metacli.episode import TaskSpec
from metacli.heads.centroid import Centroid
from metacli.paradigms.frozen import Frozen
from metacli.paradigms.nearest_centroid import NearestCentroid


def test_with_class_means_as_they_are_it_is_the_nearest_centroid(make_backbone, make_episode):
    spec, episode = TaskSpec("classify", (1, 9, 10), 3), make_episode()
    head = Centroid(features=24, transform="none", distance="euclidean")
    frozen = Frozen(spec=spec, backbone=make_backbone(), head=head, bn_mode="batch")
    nearest = NearestCentroid(spec=spec, backbone=make_backbone(), distance="euclidean", bn_mode="batch")
    outputs = [learner.adapt(episode.support)(episode.query.inputs) for learner in (frozen, nearest)]
    assert torch.equal(*outputs)


def test_nothing_in_it_trains(make_backbone):
    head = Centroid(features=24, transform="cl2n", distance="euclidean")
    learner = Frozen(
        spec=TaskSpec("classify", (1, 9, 10), 3), backbone=make_backbone(), head=head, bn_mode="running"
    )
    assert not any(parameter.requires_grad for parameter in learner.parameters())
