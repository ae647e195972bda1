"""What an attack is: it moves inputs within a distance of where they are, up the slope of a loss.

It knows no model: `loss` has it, as it is for the reported prediction. Shapes: points of a space [T, N, ...], a loss
[T].
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from metacli.attacks.space import Space

Loss = Callable[[Tensor], Tensor]  # a point -> [T]
Noise = Callable[
    [int], Tensor
]  # the number of a start -> uniform in [-1, 1], as a point; the same whenever it is asked


class Attack(Protocol):
    """epsilon: the distance asked for, in the norm that the attack is about."""

    epsilon: float

    def to_train_on(self, loss: Loss, space: Space, noise: Noise) -> Sequence[Tensor]:
        """Points whose losses are averaged; the last is the strongest."""

    def to_withstand(self, loss: Loss, space: Space, noise: Noise, epsilon: float) -> Iterator[Tensor]:
        """Points within `epsilon`; an item is robust if its answer is right at all of them."""


def slope(loss: Loss, x: Tensor) -> Tensor:
    """The gradient of the sum of all losses to the inputs, and to nothing else."""
    with torch.enable_grad():
        at = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(at).sum(), at)
    return gradient


def lengths(x: Tensor) -> Tensor:
    """The Euclidean norm of each item, [T, N, 1, ...], no less than the smallest number."""
    norms = torch.linalg.vector_norm(x.flatten(2), dim=2).clamp_min(torch.finfo(x.dtype).tiny)
    return norms.view(*norms.shape, *[1] * (x.dim() - 2))
