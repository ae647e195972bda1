from dataclasses import replace

import pytest
import torch
from torch import nn

from metacli.data.images import ImageSource
from metacli.data.sampler import EpisodeShape
from metacli.episode import TaskSpec
from metacli.layers import BatchNorm
from metacli.learner import Learner
from metacli.parts import Part, commit, moved, part_of, total


class Tilted(Learner):
    """Some weights that are used, one that is not, one that is fixed."""

    def __init__(self):
        super().__init__(TaskSpec("classify", (1, 8, 8), 3))
        self.norm = BatchNorm(64, relu=False)
        self.weight = nn.Parameter(torch.linspace(-1, 1, 64))
        self.unused = nn.Parameter(torch.ones(2))
        self.fixed = nn.Parameter(torch.ones(2), requires_grad=False)

    def meta_loss(self, episode):
        return (self.norm(episode.query.inputs["x"].flatten(2)) * self.weight).square().mean((1, 2))


@pytest.fixture
def episode(table):
    source = ImageSource(table=table, split="train", device=torch.device("cpu"))
    sampler = source.sampler(EpisodeShape(ways=3, shots=1, queries=2))
    return source.episode(sampler, seed=0, step=0, tasks=7)


def summed(learner, episode, chunk):
    """`total` of its chunks; what it returns."""
    return total((part_of(learner, part, len(episode)) for part in episode.chunks(chunk)), moved(learner))


@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_the_sum_of_parts_is_the_gradient_of_the_mean_loss(episode, chunk):
    learner, reference = Tilted().double(), Tilted().double()
    query = replace(episode.query, inputs={"x": episode.query.inputs["x"].double()})
    episode = replace(episode, query=query)
    reference.meta_loss(episode).mean().backward()
    losses, statistics = summed(learner, episode, chunk)
    for name, parameter in reference.named_parameters():
        found = learner.get_parameter(name).grad
        if parameter.grad is None:
            assert found is None
        else:
            torch.testing.assert_close(found, parameter.grad, rtol=1e-12, atol=1e-14)
    assert losses.shape == (7,)
    assert {name: [tensor.shape for tensor in pair] for name, pair in statistics.items()} == {
        "norm": [(7, 64), (7, 64)]
    }


def test_parts_are_added_one_after_another_in_their_order():
    def part(value):
        return Part(torch.zeros(1), (torch.tensor([value]), None), {})

    parameters = [nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))]
    values = [1e8, 1.0, -1e8, 1.0]  # in float32 every other order gives another sum
    total(map(part, values), parameters)
    assert parameters[0].grad.item() == 1.0
    assert parameters[1].grad is None
    parameters[0].grad = None
    total(map(part, sorted(values)), parameters)
    assert parameters[0].grad.item() == 0.0


def test_running_statistics_move_where_they_are_read(episode):
    learner = Tilted()
    _, statistics = summed(learner, episode, 3)
    commit(learner, statistics)
    assert torch.equal(learner.norm.running_mean, torch.zeros(64))
    learner.norm.tracks = True
    commit(learner, statistics)
    torch.testing.assert_close(learner.norm.running_mean, 0.1 * statistics["norm"][0].mean(0))
