"""iMAML: MAML with a pull towards the initialisation, differentiated at the solution, not through the steps to it.

Rajeswaran, Finn, Kakade & Levine, "Meta-Learning with Implicit Gradients", NeurIPS 2019. A task's weights φ minimise
its support loss L + λ/2‖φ − θ‖²; there φ = θ − ∇L(φ)/λ, so a gradient v at φ is (I + ∇²L/λ)⁻¹ v at θ, which a few
steps of conjugate gradient find with products by the Hessian alone: memory does not grow with inner steps. As in the
authors' code the matrix is ((1 + damping)·I + ∇²L/(λ + shift)); damping and shift 0 are the formula.

Theirs, from memory of the code, are plain gradient steps on L and one step of the pull after the last, which is not the
minimum of the formula but comes further in a few steps (`inner.pull=last`); `each` pulls after each step and goes to
that minimum. Ours: a pull is a proximal step, stable whatever λ is; what moves outside only, as a still backbone, gets
its part of the implicit gradient, too.

    metacli train paradigm=imaml
"""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from metacli.episode import Examples, Predictor, State
from metacli.learner import Learner
from metacli.paradigms.inner_loop import InnerLoop

Product = Callable[[Tensor], Tensor]  # by a symmetric matrix of each task; [T, P] -> [T, P]


class IMAML(Learner):
    """proximity: λ · inner_pull: after which gradient steps · solver_steps: of conjugate gradient, damped as above."""

    def __init__(
        self,
        *,
        inner: InnerLoop,
        inner_lr: float,
        inner_pull: Literal["each", "last"],
        proximity: float,
        solver_steps: int,
        solver_damping: float,
        solver_shift: float,
    ) -> None:
        super().__init__(inner.spec)
        self.inner = inner
        self.network = inner.network
        self.inner_lr = inner_lr
        self.inner_pull = inner_pull
        self.proximity = proximity
        self.solver_steps = solver_steps
        self.solver_damping = solver_damping
        self.solver_shift = solver_shift

    def adapt(self, support: Examples) -> Predictor:
        with torch.no_grad():
            weights = self.inner.descend(support, self._step)
        if torch.is_grad_enabled():
            weights = self._implicit(weights, support)
        return self.inner.predictor(weights, support)

    def _step(self, step: int, weights: State, gradients: State) -> State:
        moved = {name: weight - self.inner_lr * gradients[name] for name, weight in weights.items()}
        if self.inner_pull == "last" and step < self.inner.steps - 1:
            return moved
        own, pull = self.inner.own(), self.inner_lr * self.proximity
        return {name: (weight + pull * own[name]) / (1 + pull) for name, weight in moved.items()}

    def _implicit(self, weights: State, support: Examples) -> State:
        """The same weights, as a function of all that the outer loop moves."""
        solution = {name: tensor.detach().requires_grad_() for name, tensor in weights.items()}
        gradients = self.inner.gradients(solution, self.inner.seen(support), differentiable=True, beside={})
        gradient, strength = flat(gradients), self.proximity + self.solver_shift

        def product(vector: Tensor) -> Tensor:
            of_each = torch.autograd.grad(gradient, list(solution.values()), vector, retain_graph=True)
            curved = flat(dict(zip(solution, of_each, strict=True)))
            return (1 + self.solver_damping) * vector + curved / strength

        start = flat(self.inner.start(support))
        implicit = _Implicit.apply(
            start - gradient / strength, flat(solution).detach(), product, self.solver_steps
        )
        parts = implicit.split([tensor[0].numel() for tensor in solution.values()], 1)
        return {name: part.view_as(solution[name]) for name, part in zip(solution, parts, strict=True)}


class _Implicit(Function):
    """(fixed, solution) -> solution, which solves solution = fixed(solution); both [T, P].

    product: by the identity less the derivative of `fixed` by the solution.
    """

    @staticmethod
    def forward(ctx: Any, fixed: Tensor, solution: Tensor, product: Product, steps: int) -> Tensor:
        ctx.product, ctx.steps = product, steps
        return solution.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return conjugate_gradient(ctx.product, gradient, ctx.steps), None, None, None


def conjugate_gradient(product: Product, right: Tensor, steps: int) -> Tensor:
    """x of each task with product(x) = right, nearly; from zero. [T, P]

    A task in which a direction turns up that its matrix does not bend upwards goes no further.
    """
    x, residual, direction = torch.zeros_like(right), right, right
    energy = residual.square().sum(1, keepdim=True)
    for _ in range(steps):
        image = product(direction)
        rate = _ratio(energy, (direction * image).sum(1, keepdim=True))
        x = x + rate * direction
        residual = residual - rate * image
        left = residual.square().sum(1, keepdim=True)
        direction = residual + _ratio(left, energy) * direction
        energy = left
    return x


def _ratio(one: Tensor, other: Tensor) -> Tensor:
    """0 where nothing is left to do, or to be trusted."""
    return torch.where(other > 0, one / other, 0.0)


def flat(tensors: State) -> Tensor:
    """[T, P]"""
    return torch.cat([tensor.flatten(1) for tensor in tensors.values()], 1)
