"""What a chunk of tasks contributes to an outer step, and the sum of such parts.

The sum is taken in task order, whoever computed the parts and whichever was ready first, so that the bits depend on
the size of the chunks alone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metacli.episode import Episode
from metacli.layers import Staged, recorded
from metacli.learner import Learner

Statistics = dict[str, tuple[Tensor, Tensor]]  # staged module -> what it found of each task, [t, ...]


@dataclass(frozen=True)
class Part:
    """Of t tasks. losses [t] · gradients: one a parameter, None where the losses do not depend on it."""

    losses: Tensor
    gradients: tuple[Tensor | None, ...]
    statistics: Statistics


Versions = Callable[[Learner, Episode], Sequence[Episode]]


def as_it_is(learner: Learner, chunk: Episode) -> Sequence[Episode]:
    return [chunk]


def part_of(learner: Learner, chunk: Episode, tasks: int, versions: Versions = as_it_is) -> Part:
    """tasks: of the whole step, over which the loss is a mean · versions: what to train on in place of a chunk, the
    mean of whose losses counts."""
    trained_on = versions(learner, chunk)
    with recorded(learner, differentiable=False) as statistics:
        each = [learner.meta_loss(version) for version in trained_on]
    losses = torch.stack(each).mean(0) if len(each) > 1 else each[0]
    moving = moved(learner)
    gradients = torch.autograd.grad(losses.sum() / tasks, moving, allow_unused=True)
    return Part(losses.detach(), gradients, statistics)


def moved(learner: Learner) -> list[nn.Parameter]:
    """The parameters that a step may move; a Part's gradients are in this order."""
    return [parameter for parameter in learner.parameters() if parameter.requires_grad]


def total(parts: Iterable[Part], parameters: Sequence[nn.Parameter]) -> tuple[Tensor, Statistics]:
    """Add `parts`, which come in task order, to each `grad`, which is None; the losses [T] and statistics of all."""
    losses: list[Tensor] = []
    staged: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for part in parts:
        losses.append(part.losses)
        for name, pair in part.statistics.items():
            staged.setdefault(name, []).append(pair)
        for parameter, gradient in zip(parameters, part.gradients, strict=True):
            if gradient is None:
                continue
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter).copy_(gradient)
            else:
                parameter.grad += gradient
    statistics = {}
    for name, pairs in staged.items():
        means, variances = zip(*pairs, strict=True)
        statistics[name] = torch.cat(means), torch.cat(variances)
    return torch.cat(losses), statistics


def commit(learner: Learner, statistics: Statistics) -> None:
    """Staged buffers move once a step, over all tasks in order: chunks cannot change them."""
    for name, (one, other) in statistics.items():
        layer = learner.get_submodule(name)
        assert isinstance(layer, Staged)
        layer.commit(one, other)
