"""States of words, out of those of their tokens: a word has that of its first one. And what is put on them."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from metacli.episode import Inputs, Kind, State
from metacli.layers.affine import Linear
from metacli.layers.passes import BatchNormMode, Passes

Read = Callable[[nn.Module, Inputs], Tensor]


def word_states(backbone: nn.Module, inputs: Inputs) -> Tensor:
    """[T, N, L, H], zeros for what is no word or has no token.

    inputs: `x` [T, P, S] tokens of the pieces of each task's sentences, −1 = padding, and `places` [T, N, L] of the
    words' first tokens among the P·S of a task, −1 = none; or `states` that were computed before, which are returned.
    """
    if "states" in inputs:
        return inputs["states"]
    ids, places = inputs["x"], inputs["places"]
    real = (ids >= 0).any(2)  # [T, P]
    found: Tensor = backbone.network.states(ids[real])  # type: ignore[operator, union-attr]
    states = found.new_zeros(*ids.shape, found.shape[-1])
    states[real] = found
    flat = states.flatten(1, 2)
    index = places.clamp(min=0).flatten(1).unsqueeze(-1).expand(-1, -1, flat.shape[-1])
    chosen = flat.gather(1, index).unflatten(1, places.shape[1:])
    return chosen * (places >= 0).unsqueeze(-1)


class WordPasses(Passes):
    """`Passes` over sentences: outputs are [T, N, L, ...]. What encodes them has no batch norm, so there are no modes.

    read: (network, inputs) -> outputs, of all tasks together where they share its weights; where `state` gives each
    task its own they are read task by task.
    """

    def __init__(self, network: nn.Module, read: Read = word_states) -> None:
        super().__init__(network, "running")
        self.reading = _Reading(network, read)

    def support(self, state: State, inputs: Inputs) -> Tensor:
        if not state:
            return self.reading(inputs)
        tasks = len(next(iter(inputs.values())))
        outputs = [
            functional_call(
                self.reading,
                {f"network.{name}": tensor[task] for name, tensor in state.items()},
                ({name: tensor[task : task + 1] for name, tensor in inputs.items()},),
            )
            for task in range(tasks)
        ]
        return torch.cat(outputs)

    def query(self, state: State, inputs: Inputs) -> Tensor:
        return self.support(state, inputs)


def passes_of(kind: Kind, network: nn.Module, bn_mode: BatchNormMode, read: Read = word_states) -> Passes:
    """Of items as they are, or of words."""
    return WordPasses(network, read) if kind == "tag" else Passes(network, bn_mode)


class _Reading(nn.Module):
    """What functional_call needs: a module that is called with inputs."""

    def __init__(self, network: nn.Module, read: Read) -> None:
        super().__init__()
        self.network = network
        self.read = read

    def forward(self, inputs: Inputs) -> Tensor:
        return self.read(self.network, inputs)


class TagLinear(Linear):
    """x [T, N, L, H] -> [T, N, L, K]. Its own weight is [1 + per_class, H], of O and of I, or B and I, of any type.

    `for_types` makes of it one for an episode's types, which begin alike, so that their order cannot matter; the layer
    is called with that: weight [K, H] or [T, K, H], bias [K] or [T, K].
    """

    def __init__(self, features: int, per_class: int) -> None:
        super().__init__(features, 1 + per_class)

    @staticmethod
    def for_types(rows: Tensor, ways: int) -> Tensor:
        """[1 + per_class, ...] -> [K, ...]"""
        of_a_type = rows[1:]
        return torch.cat([rows[:1], of_a_type.repeat(ways, *[1] * (rows.dim() - 1))])

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(1, 2)).unflatten(1, x.shape[1:3])
