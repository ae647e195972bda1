"""Features that are not negative, of three classes with two support items each."""

import pytest
import torch

from metacli.episode import Examples


def draw(*shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.fixture
def support():
    labels = torch.tensor([[0, 1, 2, 2, 1, 0], [2, 2, 0, 1, 0, 1]])
    mask = torch.ones_like(labels, dtype=torch.bool)
    return Examples({}, labels, mask, torch.arange(12).view(2, 6), torch.arange(3).expand(2, 3))


@pytest.fixture
def features():
    return draw(2, 6, 4)


@pytest.fixture
def queries():
    return draw(2, 7, 4)


@pytest.fixture
def base():
    """Features and labels of five meta-train classes."""
    return [(draw(50, 4), torch.arange(50) % 5)]
