import numpy as np
import pytest

from metacli.episode import TaskSpec
from metacli.paradigms.nearest_centroid import NearestCentroid


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_on_pixels_it_is_what_numpy_says(distance, make_backbone, make_episode):
    learner = NearestCentroid(
        spec=TaskSpec("classify", (1, 9, 10), 3),
        backbone=make_backbone("pixels"),
        distance=distance,
        bn_mode="running",
    )
    episode = make_episode()
    got = learner.adapt(episode.support)(episode.query.inputs).numpy()
    for t in range(len(episode)):
        support, query = (s.inputs["x"][t].flatten(1).numpy() for s in (episode.support, episode.query))
        labels = episode.support.labels[t].numpy()
        means = np.stack([support[labels == c].mean(0) for c in range(3)])
        if distance == "euclidean":
            expected = -((query[:, None] - means) ** 2).sum(2)
        else:
            norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(means, axis=1)
            expected = query @ means.T / norms
        np.testing.assert_allclose(got[t], expected)


def test_nothing_in_it_trains(make_backbone):
    learner = NearestCentroid(
        spec=TaskSpec("classify", (1, 9, 10), 3),
        backbone=make_backbone("conv4"),
        distance="euclidean",
        bn_mode="batch",
    )
    assert list(learner.parameters())
    assert not any(parameter.requires_grad for parameter in learner.parameters())
