"""Steps of an optimizer on what each task has of its own, such as the weights of a head.

Where MetaGrad is given no bound on the gradient, it is twice the largest |g_i| (‖g‖ in one game) of each task's first
gradient, so that no task's steps depend on the tasks beside it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from metacli.optim.metagrad import MARGIN, MetaGrad
from metacli.optim.schedule import Schedule, set_learning_rate

Gradient = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class PerTask:
    """optimizer: of parameters with a leading task axis, in so many steps · lr: None where it has no rate."""

    optimizer: Callable[[Sequence[Tensor], int], Optimizer]
    steps: int
    lr: float | None
    schedule: Schedule

    def __call__(self, start: Tensor, gradient: Gradient) -> Tensor:
        """Where the steps lead from `start` [T, ...]; `gradient` is that of every task's loss, at such a point."""
        point = start.detach().clone().requires_grad_()
        optimizer = self.optimizer([point], self.steps)
        unit = _calibrated(optimizer, point, gradient)
        for step in range(self.steps):
            if self.lr is not None:
                set_learning_rate(optimizer, self.lr, self.schedule, step, self.steps)
            point.grad = gradient(point) / unit
            optimizer.step()
        return point.detach()


def _calibrated(optimizer: Optimizer, point: Tensor, gradient: Gradient) -> Tensor | float:
    """What to divide each task's gradient by, [T, 1, ...]: in these units one bound is that of every task."""
    [group] = optimizer.param_groups
    if not isinstance(optimizer, MetaGrad) or group["grad_bound"] is not None:
        return 1.0
    group["grad_bound"] = MARGIN
    point.grad = gradient(point)
    norms = torch.linalg.vector_norm(optimizer.gradient(group), dim=2).view(len(point), -1)
    largest = norms.amax(1).clamp_min(torch.finfo(point.dtype).tiny).to(point)
    return largest.view(-1, *[1] * (point.dim() - 1))
