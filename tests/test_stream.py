"""What a stream of tasks asks, and when."""

import numpy as np
import pytest
import torch

from metacli import build, experiment, stream
from metacli.config.compose import composed, values_of
from metacli.config.validate import validate
from metacli.data.images import ImageSource
from metacli.data.shift import shifted
from metacli.objectives import cross_entropy

SMALL = [
    "backbone.width=4",
    "backbone.depth=2",
    "episode.train={ways: 3, shots: 1, queries: 2}",
    "episode.val.ways=3",
    "episode.test.ways=3",
    "device.threads=1",
]


@pytest.fixture
def assembled(table, monkeypatch):
    """An experiment on `table`, as it begins."""

    def build_data(config, device):
        return build.Data(
            table, {name: ImageSource(table=table, split=name, device=device) for name in table.splits}
        )

    monkeypatch.setattr(build, "build_data", build_data)
    monkeypatch.setattr(experiment, "prepare", lambda device, threads: None)

    def make(*overrides):
        values = values_of(composed(["backbone=conv4", *SMALL, *overrides])[0])
        return experiment.assemble(validate(values))

    return make


def followed(built, **how):
    return stream.follow_stream(built, **{"change": "invert", "after": 3, "tasks": 6, "window": 2} | how)


def test_each_task_is_predicted_before_it_is_learned_from_and_changed_in_time(assembled):
    """By plain gradient descent, step by step."""
    overrides = ["paradigm=protonet", "paradigm.bn_mode=batch", "optimizer=sgd", "optimizer.momentum=0"]
    overrides += ["optimizer.nesterov=false", "optimizer.lr=0.3", "optimizer.schedule=cosine", "seed=4"]
    found = followed(assembled(*overrides))
    built = assembled(*overrides)
    learner, source = built.learner, built.data.sources["train"]
    sampler = source.sampler(build.episode_shape(built.config.episode.train))
    losses, accuracies = [], []
    for step in range(6):
        episode = source.episode(sampler, seed=4, step=step, tasks=1)
        episode = shifted(episode, "invert") if step >= 3 else episode
        learner.eval()
        outputs = learner.adapt(episode.support)(episode.query.inputs)
        losses.append(cross_entropy(outputs, episode.query).item())
        accuracies.append((outputs.argmax(2) == episode.query.labels).double().mean().item())
        learner.train().zero_grad()
        learner.meta_loss(episode).mean().backward()
        with torch.no_grad():
            for parameter in learner.parameters():
                parameter -= 0.3 * parameter.grad
    np.testing.assert_allclose(found.loss, losses, rtol=1e-5)
    np.testing.assert_allclose(found.accuracy, accuracies)


@pytest.mark.parametrize("optimizer", ["adam", "metagrad"])
def test_a_stream_comes_to_the_same_bits_again(optimizer, assembled):
    one, other = (followed(assembled("paradigm=fomaml", f"optimizer={optimizer}")) for _ in range(2))
    assert one.loss.tobytes() == other.loss.tobytes()
    assert one.loss[0] != one.loss[-1]
