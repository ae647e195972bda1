"""AdaptiveMetaGrad: MetaGrad that finds out for itself how large gradients get and how long the game lasts.

van Erven, Koolen & van der Hoeven, "MetaGrad: Adaptation using Multiple Learning Rates in Online Learning", JMLR 22
(2021), as the authors' code has it; the name is ours, after Mhammedi, Koolen & van Erven, "Lipschitz Adaptivity with
Multiple Learning Rates in Online Learning", COLT 2019. Learning rates are all powers of two, of which a window is
awake: with larger gradients the largest rates retire, with time smaller ones wake. The guarantees are for convex
losses; on a network it is a heuristic. Ours: `wake="current"` and `grid="anchored"`.

    metacli train optimizer=adaptive_metagrad optimizer.radius=0.5
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from metacli.episode import State
from metacli.optim.domain import InDomain
from metacli.optim.experts import Variant, experts_of, halved, learn, tilted_mean, weights_of


class AdaptiveMetaGrad(InDomain):
    """prior: the scale of Σ at the start · wake: an expert starts at the centre, as published, or at the present
    point, where the parameter then also stays while nobody is awake · grid: powers of two, or those powers times the
    rate that the first gradient allows, so that a factor on the loss changes nothing · experts: awake at most.

    State beside w, with the paper's letters: of a game `B` the largest reach b of its losses, `S` the sum of clipped
    reaches, `U` that of b/B, `B_tau` B at the last restart, `log_mass` the logarithm to base 2 of the sum of all
    weights, and of its experts `top`, `awake`, `rate`: see `window`; of an expert, whose rate in slot k is 2^(top − k),
    `logp` the logarithm of its share in that sum, −∞ asleep, and what `experts` keep.
    """

    def __init__(
        self,
        *,
        params: Sequence[Any],
        radius: float,
        prior: float,
        variant: Variant,
        experts: int,
        wake: Literal["center", "current"],
        grid: Literal["pow2", "anchored"],
        sketch: int,
        per_task: bool,
    ) -> None:
        built = experts_of(variant, radius=radius, prior=prior, sketch=sketch, shared=False)
        super().__init__(params=params, variant=variant, experts=built, per_task=per_task)
        self.most = experts
        self.wake = wake
        self.anchored = grid == "anchored"

    def begin(self, like: Tensor) -> State:
        once = ("B", "S", "U", "B_tau", "log_mass", *(("anchor",) if self.anchored else ()))
        nothing = like.new_zeros(1, like.shape[1])
        awake = dict(zip(("top", "awake", "rate"), window(nothing, nothing, 1), strict=True))
        return {name: nothing.clone() for name in once} | awake | self.asleep(1, like)

    def asleep(self, experts: int, like: Tensor) -> State:
        logp = like.new_full((experts, like.shape[1]), -torch.inf)
        return {"logp": logp, **self.experts.start(experts, like)}

    def room(self, step: int) -> int:
        """After t steps at most 1 + log2 t are awake, since (S + B) / B is at most t."""
        return min(self.most, step.bit_length())

    def play(self, state: State, group: Mapping[str, Any], gradient: Tensor) -> Tensor:
        reach, gradient = self._reach(state, gradient)
        before, largest, logp = state["B"], torch.maximum(state["B"], reach), state["logp"]
        ever = largest.clamp_min(torch.finfo(largest.dtype).tiny)

        halves = halved(logp)
        scaled = halves.unsqueeze(2) * (gradient * state["rate"].unsqueeze(2))
        x = self.experts.inner(state["w"] - state["W"], scaled)
        self.experts.step(state, scaled, x)
        x *= before / ever  # the weights see a gradient clipped to what was known before
        learn(logp, x)
        weights = weights_of(logp)
        logp.sub_(weights.sum(0, keepdim=True).log2())

        state["S"] += torch.minimum(reach, before)
        state["U"] += reach / ever
        state["B"] = largest
        restart = largest > state["U"] * state["B_tau"]
        state["B_tau"] = torch.where(restart, largest, state["B_tau"])
        top, awake, state["rate"] = window(largest, state["S"], len(logp))
        retired = (state["top"] - top).clamp_min_(0)
        kept = (state["awake"] - retired).clamp_min_(0)
        state["top"], state["awake"] = top, awake
        changed = (restart | (awake != kept) | (retired > 0))[0].nonzero().squeeze(1)
        if len(changed):
            some = (array[:, changed] for array in (restart, retired, kept, awake))
            self._change(state, changed, *some)
            weights[:, changed] = weights_of(logp[:, changed])
        idle = state["w"] if self.wake == "current" else torch.zeros_like(state["w"])
        return torch.where((awake > 0).unsqueeze(2), tilted_mean(weights, halves, state["W"]), idle)

    def _reach(self, state: State, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """How far apart losses in the domain may lie, [1, M], and the gradient; both in units of the first reach where
        the grid is anchored there."""
        reach = 2 * self.experts.radius * torch.linalg.vector_norm(gradient, dim=2)
        reach *= reach >= torch.finfo(reach.dtype).tiny  # 1/reach has to be a number
        if not self.anchored:
            return reach, gradient
        anchor = state["anchor"]
        anchor.copy_(torch.where(anchor > 0, anchor, reach))
        unit = torch.where(anchor > 0, 2 * anchor, 1.0)
        return reach / unit, gradient / unit.unsqueeze(2)

    def _change(
        self, state: State, games: Tensor, restart: Tensor, retired: Tensor, kept: Tensor, awake: Tensor
    ) -> None:
        """Of the games [J]: restart the weights, retire the first slots, wake new ones. The others are [1, J]."""
        logp, log_mass = state["logp"], state["log_mass"]
        slot = torch.arange(len(logp), device=logp.device).unsqueeze(1)
        source = (slot + retired).clamp_max(len(logp) - 1)  # [K, J]
        new = slot >= kept
        logs = (logp[:, games] + log_mass[:, games]).masked_fill(restart, 0.0)
        logs = logs.gather(0, source).masked_fill(new, 0.0).masked_fill(slot >= awake, -torch.inf)
        largest = logs.amax(0, keepdim=True).nan_to_num(neginf=0.0)
        mass = largest + weights_of(logs - largest).sum(0, keepdim=True).log2()
        logp[:, games], log_mass[:, games] = logs - mass, mass
        point = state["w"][:, games]
        start = self.experts.start(1, point)
        if self.wake == "current":
            start["W"] = point
        for name, fresh in start.items():
            moved = state[name][source, games]
            state[name][:, games] = torch.where(new.view(*new.shape, *[1] * (moved.dim() - 2)), fresh, moved)


def window(largest: Tensor, clipped: Tensor, slots: int) -> tuple[Tensor, Tensor, Tensor]:
    """For B and S, [1, M]: i of the largest rate 2^i ≤ 1/(2B); how many are awake, down to 1/(2(S + B)); that rate.

    Where B = 0 nobody is awake, at the rate 0. By exponents, so exact: B = m·2^e with ½ ≤ m < 1.
    """
    part, exponent = torch.frexp(largest)
    _, smallest = torch.frexp(clipped + largest)
    below = (part > 0.5).to(exponent.dtype)
    top = -exponent - below
    awake = (top + smallest + 1).clamp(0, slots) * (largest > 0)
    return top, awake, part / largest.clamp_min(torch.finfo(largest.dtype).tiny) / (1 + below)
