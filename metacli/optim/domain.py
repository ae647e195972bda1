"""What MetaGrad and AdaptiveMetaGrad share as torch optimizers: p = centre + w, with w in a domain of a given radius.

They have no learning rate: how far a step goes follows from the gradients and the radius. Either every number is a
game of its own on [−radius, radius] (variant "coordinate"), or all parameters of a group are one game on the ball of
that radius ("full", "sketched"). per_task: each parameter has a leading task axis, and each task games of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from metacli.episode import State
from metacli.errors import UserError
from metacli.letters import size
from metacli.optim.experts import VARIANTS, Experts, Variant

EDGE = 0.99  # of the radius: what is farther out counts as held back by the domain
HELD_BACK = 0.05  # of the parameters: from here on the radius is too small


class InDomain(Optimizer):
    """The state of a group lies with its first parameter: `step`, and arrays [K, M, ...] of K experts and M games, with
    K = 1 for what a game has once: `centre` and `w` [1, M, D], and more in each subclass.

    A gradient that is None counts as 0, which moves nothing.
    """

    def __init__(self, *, params: Sequence[Any], variant: Variant, experts: Experts, per_task: bool) -> None:
        self.variant = variant
        self.experts = experts
        self.per_task = per_task
        super().__init__(params, {"lr": 1.0})  # a key that others look for; it cannot be another number
        for group in self.param_groups:
            if any(parameter.dtype not in (torch.float32, torch.float64) for parameter in group["params"]):
                raise ValueError(f"{type(self).__name__} takes parameters of float32 or float64")

    def begin(self, like: Tensor) -> State:
        """The state of games whose `w` [1, M, D] is like this, before the first step."""
        raise NotImplementedError

    def room(self, step: int) -> int:
        """For how many experts there has to be room in a step, counted from 1."""
        raise NotImplementedError

    def asleep(self, experts: int, like: Tensor) -> State:
        """What `experts` more keep that do not take part yet, as `begin` has it of those that do."""
        raise NotImplementedError

    def play(self, state: State, group: Mapping[str, Any], gradient: Tensor) -> Tensor:
        """The next w [1, M, D], from the gradient [1, M, D]; the rest of the state it changes itself."""
        raise NotImplementedError

    def calibrate(self, gradient: Callable[[int], Any], place: str = "optimizer") -> dict[str, float]:
        """What it has to know of the gradients, found in steps that move nothing; `gradient` leaves one in `.grad`.

        place: of its settings, for errors.
        """
        return {}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["lr"] != 1.0:
                raise ValueError(f"{type(self).__name__} has no learning rate to set: leave lr at 1")
            self._step(group)
        return loss

    def _step(self, group: dict[str, Any]) -> None:
        parameters = group["params"]
        state: dict[str, Any] = self.state[parameters[0]]
        if not state:
            centre = self._joined(parameters)
            state.update({"step": 0, "centre": centre, "w": torch.zeros_like(centre), **self.begin(centre)})
        state["step"] += 1
        self._make_room(state, state["step"])
        gradient = self.gradient(group)
        # Where the gradient is no number the parameter shall be none either: a clip would hide it.
        state["w"] = self.play(state, group, gradient) + 0 * gradient
        place = state["centre"] + state["w"]
        axis = 2 if self._one_game else 1
        sizes = [parameter.numel() // (place.shape[1] if self._one_game else 1) for parameter in parameters]
        for parameter, part in zip(parameters, place.split(sizes, axis), strict=True):
            parameter.copy_(part.reshape(parameter.shape))

    def _make_room(self, state: State, step: int) -> None:
        missing = self.room(step) - len(state["W"])
        if missing > 0:
            for name, more in self.asleep(missing, state["w"]).items():
                state[name] = torch.cat([state[name], more])

    def gradient(self, group: dict[str, Any]) -> Tensor:
        """[1, M, D]."""
        return self._joined([torch.zeros_like(p) if p.grad is None else p.grad for p in group["params"]])

    def _joined(self, tensors: Sequence[Tensor]) -> Tensor:
        """[1, M, D]. Where D > 1 in float64: the state is small, and long sums of products of it are taken."""
        if not self._one_game:
            return torch.cat([tensor.detach().flatten() for tensor in tensors]).view(1, -1, 1)
        tasks = len(tensors[0]) if self.per_task else 1
        joined = torch.cat([tensor.detach().reshape(1, tasks, -1) for tensor in tensors], 2)
        return joined if joined.device.type == "mps" else joined.double()

    @property
    def _one_game(self) -> bool:
        return self.variant != "coordinate"

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Bit for bit: torch would make the state as narrow as the parameters, and share it with `state_dict`."""
        super().load_state_dict(state_dict)
        for group, saved in zip(self.param_groups, state_dict["param_groups"], strict=True):
            first, kept = group["params"][0], state_dict["state"].get(saved["params"][0], {})
            self.state[first] = {
                name: value.to(first.device, copy=True) if isinstance(value, Tensor) else value
                for name, value in kept.items()
            }

    def held_back(self) -> float:
        """The share of games that are played at the edge of their domain."""
        played = [self.state[group["params"][0]] for group in self.param_groups]
        norms = [torch.linalg.vector_norm(state["w"], dim=2).flatten() for state in played if state]
        at_edge = torch.cat(norms) > EDGE * self.experts.radius if norms else torch.zeros(1)
        return float(at_edge.float().mean())

    def memory(self, steps: int) -> int:
        """Bytes of state after so many steps."""
        total = 0
        for group in self.param_groups:
            like = self._joined([parameter.to("meta") for parameter in group["params"]])
            kept: State = {"centre": like, "w": like, **self.begin(like)}
            self._make_room(kept, steps)
            total += sum(array.numel() * array.element_size() for array in kept.values())
        return total


def memory_note(
    of: Callable[[Variant], InDomain],
    variant: Variant,
    steps: int,
    free: int,
    *,
    key: str = "optimizer",
    fewer: str = "paradigm.moves.outer=[head]",
) -> str:
    """What the state will take. Raises UserError, with what would fit, where that is more than is free.

    of: the optimizer in another variant · key: what its settings begin with · fewer: a setting that moves less.
    """
    needs = {name: of(name).memory(steps) for name in VARIANTS}
    optimizer = of(variant)
    count = sum(parameter.numel() for group in optimizer.param_groups for parameter in group["params"])
    if needs[variant] <= free:
        return f"the {key} keeps {size(needs[variant])} for {count} parameters"
    fitting = [f"{key}.variant={name} ({size(bytes_)})" for name, bytes_ in needs.items() if bytes_ <= free]
    most = int(count * (free / needs[variant]) ** (0.5 if variant == "full" else 1.0))
    fitting.append(f"{variant} of at most {most} parameters: {fewer}")
    raise UserError(
        f"{key}.variant={variant}: {size(needs[variant])} for {count} parameters, and {size(free)} are free",
        f"what fits: {', or '.join(fitting)}",
    )
