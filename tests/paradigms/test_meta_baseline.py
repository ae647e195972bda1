import numpy as np

from metacli.episode import TaskSpec
from metacli.paradigms.meta_baseline import MetaBaseline


def test_it_is_the_scaled_cosine_to_each_class_mean(make_backbone, make_episode):
    spec, episode = TaskSpec("classify", (1, 9, 10), 3), make_episode()
    learner = MetaBaseline(spec=spec, backbone=make_backbone("pixels"), scale=7.0, bn_mode="running")
    got = learner.adapt(episode.support)(episode.query.inputs).detach().numpy()
    for t in range(len(episode)):
        support, query = (s.inputs["x"][t].flatten(1).numpy() for s in (episode.support, episode.query))
        labels = episode.support.labels[t].numpy()
        means = np.stack([support[labels == c].mean(0) for c in range(3)])
        norms = np.linalg.norm(query, axis=1)[:, None] * np.linalg.norm(means, axis=1)
        np.testing.assert_allclose(got[t], 7 * query @ means.T / norms, rtol=1e-6)


def test_the_scale_learns_with_the_backbone(make_backbone, make_episode):
    learner = MetaBaseline(
        spec=TaskSpec("classify", (1, 9, 10), 3), backbone=make_backbone(), scale=10.0, bn_mode="running"
    )
    learner.meta_loss(make_episode()).sum().backward()
    assert learner.scale.grad
    assert all(parameter.grad is not None for parameter in learner.backbone.parameters())
