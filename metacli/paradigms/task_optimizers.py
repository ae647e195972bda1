"""How a step inside a task moves the weights, where that depends on earlier steps and on earlier tasks.

The weights of a task are one vector, [P]; gradients and changes are [T, P].
"""

import math

import torch
from torch import Tensor

from metacli.layers import Staged


class TaskOptimizer(Staged):
    """size: P. Its buffers are what it keeps from task to task; they move once an outer step."""

    def __init__(self, size: int, lr: float) -> None:
        super().__init__()
        self.lr = lr

    def step(self, step: int, gradient: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
        """What to subtract from the weights in step 0, 1, ... of a task; and `squares`, zero at first, carried on."""
        raise NotImplementedError

    def keep(self, moved: Tensor, squares: Tensor, steps: int) -> None:
        """Record what is to be kept of tasks that moved the weights so far [T, P] in so many steps."""


class SGD(TaskOptimizer):
    """Keeps nothing."""

    def step(self, step: int, gradient: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
        return self.lr * gradient, squares


class Adam(TaskOptimizer):
    """Adam (Kingma & Ba 2015) with β1 = 0: `second` moment [P] after `steps` steps of all tasks so far."""

    decay, eps = 0.999, 1e-8

    def __init__(self, size: int, lr: float) -> None:
        super().__init__(size, lr)
        self.second: Tensor
        self.steps: Tensor
        self.register_buffer("second", torch.zeros(size))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def step(self, step: int, gradient: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
        squares = self.decay * squares + (1 - self.decay) * gradient.square()
        second = self.decay ** (step + 1) * self.second + squares
        passed = (self.steps + step + 1).to(gradient.dtype)
        unbiased = second / -torch.expm1(passed * math.log(self.decay))
        return self.lr * gradient / (unbiased.sqrt() + self.eps), squares

    def keep(self, moved: Tensor, squares: Tensor, steps: int) -> None:
        self.record(squares, torch.full_like(squares[:, 0], steps))

    def commit(self, squares: Tensor, steps: Tensor) -> None:
        """As if the tasks had come one after the other."""
        for own, count in zip(squares, steps, strict=True):
            self.second.mul_(self.decay**count).add_(own)
        self.steps += steps.sum().to(torch.int64)


class ARUBA(TaskOptimizer):
    """Khodak, Balcan & Talwalkar, "Adaptive Gradient-Based Meta-Learning Methods", NeurIPS 2019: a rate a weight.

    √(b/g): b sums how far earlier tasks moved the weight, ½(φ − θ)², g its squared gradients. As in their code the
    sums start from (lr·ζ)² and ζ², ζ = 1, and each task adds as much again divided by its number plus one.
    """

    zeta = 1.0

    def __init__(self, size: int, lr: float) -> None:
        super().__init__(size, lr)
        self.moved: Tensor
        self.squares: Tensor
        self.tasks: Tensor
        self.register_buffer("moved", torch.full((size,), (lr * self.zeta) ** 2))
        self.register_buffer("squares", torch.full((size,), self.zeta**2))
        self.register_buffer("tasks", torch.zeros((), dtype=torch.int64))

    def step(self, step: int, gradient: Tensor, squares: Tensor) -> tuple[Tensor, Tensor]:
        return (self.moved / self.squares).sqrt() * gradient, squares + gradient.square()

    def keep(self, moved: Tensor, squares: Tensor, steps: int) -> None:
        self.record(moved.square() / 2, squares)

    def commit(self, moved: Tensor, squares: Tensor) -> None:
        for own, of_gradients in zip(moved, squares, strict=True):
            self.tasks += 1
            share = self.zeta**2 / (self.tasks + 1)
            self.moved += own + self.lr**2 * share
            self.squares += of_gradients + share
