"""MetaGrad: a grid of learning rates played side by side and weighed by how they did; no rate to choose.

van Erven & Koolen, "MetaGrad: Multiple Learning Rates in Online Learning", NeurIPS 2016. It is told the radius of the
domain around where the parameters began, a bound on the gradient and the number of steps. What the paper calls the
diagonal version is here a game of its own for each number, as in the later paper. A gradient beyond the bound is cut
to it: ours. The guarantees are for convex losses; on a network it is a heuristic.

    metacli train optimizer=metagrad optimizer.radius=0.5
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from metacli.episode import State
from metacli.errors import UserError
from metacli.optim.domain import InDomain
from metacli.optim.experts import Variant, experts_of, halved, learn, tilted_mean, weights_of

WARM_UP = 20  # steps in which `calibrate` watches the gradient
MARGIN = 2  # by which the bound is above what was seen


class MetaGrad(InDomain):
    """horizon: steps there will be · grad_bound: of |g_i|, or of ‖g‖ where parameters make one game; None: calibrate.

    State beside w: `logp` [K, M], the experts' weights to base 2, and what they keep.
    """

    def __init__(
        self,
        *,
        params: Sequence[Any],
        radius: float,
        grad_bound: float | None,
        horizon: int,
        variant: Variant,
        sketch: int,
        per_task: bool,
    ) -> None:
        diameter = 2 * radius
        experts = experts_of(variant, radius=radius, prior=diameter, sketch=sketch, shared=True)
        super().__init__(params=params, variant=variant, experts=experts, per_task=per_task)
        self.diameter = diameter
        self.last = math.ceil(0.5 * math.log2(horizon))  # of the grid 0, 1, ..., last
        for group in self.param_groups:
            group["grad_bound"] = grad_bound

    def calibrate(
        self, gradient: Callable[[int], Any], place: str = "optimizer", steps: int = WARM_UP
    ) -> dict[str, float]:
        """Takes for bound twice the largest gradient of some steps, which move nothing.

        gradient(step) leaves that of a step in `.grad` · place: of its settings, for errors.
        Returns what was found, nothing where the bound was given.
        Raises UserError where there was no gradient, or one that is no number.
        """
        if all(group["grad_bound"] is not None for group in self.param_groups):
            return {}
        norms: list[list[Tensor]] = [[] for _ in self.param_groups]
        for step in range(steps):
            self.zero_grad()
            gradient(step)
            for seen, group in zip(norms, self.param_groups, strict=True):
                seen.append(torch.linalg.vector_norm(self.gradient(group), dim=2).max())
        self.zero_grad()
        for group, seen in zip(self.param_groups, norms, strict=True):
            found = float(torch.stack(seen).max())
            if not math.isfinite(found):
                raise UserError(
                    f"{place}: before anything has moved, the largest gradient of {steps} steps is {found}",
                    "no bound or radius helps: look for what is not finite in the data or the weights, or lower the "
                    "rate of the inner loop, where there is one",
                )
            if not found:
                raise UserError(
                    f"{place}.grad_bound: all gradients of {steps} steps are 0",
                    f"give a bound: {place}.grad_bound=1.0",
                )
            group["grad_bound"] = MARGIN * found
        return {"grad_bound": max(group["grad_bound"] for group in self.param_groups)}

    def begin(self, like: Tensor) -> State:
        order = torch.arange(self.last + 1, dtype=like.dtype, device=like.device)
        prior = ((1 + 1 / (1 + self.last)) / ((order + 1) * (order + 2))).log2()
        logp = prior.unsqueeze(1).repeat(1, like.shape[1])
        return {"logp": logp, **self.experts.start(len(logp), like)}

    def room(self, step: int) -> int:
        return self.last + 1

    def play(self, state: State, group: Mapping[str, Any], gradient: Tensor) -> Tensor:
        bound = group["grad_bound"]
        if bound is None:
            raise ValueError("grad_bound is not known: give it, or calibrate() before the first step")
        norm = torch.linalg.vector_norm(gradient, dim=2, keepdim=True)
        logp, points = state["logp"], state["W"]
        rates = halved(logp) / (5 * self.diameter * bound)
        scaled = rates.unsqueeze(2) * (gradient * (bound / norm.clamp_min(bound)))
        x = self.experts.inner(state["w"] - points, scaled)
        learn(logp, x)
        self.experts.step(state, scaled, x)
        logp.sub_(logp.amax(0))  # only their differences count
        return tilted_mean(weights_of(logp), rates, points)
