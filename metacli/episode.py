"""The core types. Every tensor carries a leading task axis, so that a meta-batch is one object.

Letters used everywhere: T tasks · N examples of one task · W ways (classes of an episode) · K outputs of a
predictor · L tokens · D features · C channels, H and W pixels of an image [T, N, C, H, W].
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Inputs = dict[str, Tensor]  # {"x"} images or vectors, {"input_ids", "attention_mask"} text; each [T, N, ...]
State = dict[str, Tensor]  # what a predictor knows of each task; each [T, ...]
Kind = Literal["classify", "tag", "regress", "rate"]


@dataclass(frozen=True)
class TaskSpec:
    """What a learner is built for.

    shape: of one item, [C, H, W] or [D] · outputs: K of its predictors, the ways of a training episode where kind
    is "classify", the numbers to predict where it is "regress", the tags of such an episode where it is "tag" ·
    train_classes: how many meta-train has · per_class: tags of each type, I or B and I.
    """

    kind: Kind
    shape: tuple[int, ...]
    outputs: int
    train_classes: int = 0
    per_class: int = 1

    def tags(self, ways: int) -> int:
        """Of an episode with so many types, O among them."""
        return 1 + ways * self.per_class


@dataclass(frozen=True)
class Examples:
    """Labelled items of T tasks.

    labels [T, N] class ids of the episode, −1 = none of them; [T, N, K] numbers where the task is to predict those;
    [T, N, L] tags of words, −1 = padding: O, then I, or B and I, of each class · mask [T, N] or [T, N, L] which
    labels count: not padding, nor a word that was lost in making tokens · rows [T, N] row in the source, −1 = padding
    or made up · classes [T, W] local label -> class of the data set; W = 0 where there are no classes.
    """

    inputs: Inputs
    labels: Tensor
    mask: Tensor
    rows: Tensor
    classes: Tensor

    @property
    def ways(self) -> int:
        return self.classes.shape[1]

    def tasks(self, start: int, stop: int) -> "Examples":
        return self._map(lambda tensor: tensor[start:stop])

    def at(self, places: Tensor) -> "Examples":
        """The items at these places [n] of every task."""
        inputs = {name: tensor[:, places] for name, tensor in self.inputs.items()}
        labels, mask, rows = (tensor[:, places] for tensor in (self.labels, self.mask, self.rows))
        return Examples(inputs, labels, mask, rows, self.classes)

    def to(self, device: torch.device) -> "Examples":
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Examples":
        inputs = {name: change(tensor) for name, tensor in self.inputs.items()}
        return Examples(
            inputs, change(self.labels), change(self.mask), change(self.rows), change(self.classes)
        )


@dataclass(frozen=True)
class Episode:
    """T tasks, each with a support and a query set. index [T]: the global number of each episode."""

    support: Examples
    query: Examples
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def chunks(self, size: int) -> Iterator["Episode"]:
        """Consecutive parts of at most `size` tasks, in task order."""
        for start in range(0, len(self), size):
            stop = start + size
            yield Episode(
                self.support.tasks(start, stop), self.query.tasks(start, stop), self.index[start:stop]
            )

    def everything(self) -> Examples:
        """Support and query items as one set."""
        one, other = self.support, self.query
        inputs = {name: torch.cat([tensor, other.inputs[name]], 1) for name, tensor in one.inputs.items()}
        pairs = ((one.labels, other.labels), (one.mask, other.mask), (one.rows, other.rows))
        labels, mask, rows = (torch.cat(pair, 1) for pair in pairs)
        return Examples(inputs, labels, mask, rows, one.classes)

    def to(self, device: torch.device) -> "Episode":
        return Episode(self.support.to(device), self.query.to(device), self.index)


@dataclass(frozen=True)
class Predictor:
    """A learner adapted to T tasks: inputs -> outputs [T, N, (L,) K]."""

    function: Callable[[State, Inputs], Tensor]
    state: State

    def __call__(self, inputs: Inputs) -> Tensor:
        return self.function(self.state, inputs)

    def detach(self) -> "Predictor":
        return Predictor(self.function, {name: tensor.detach() for name, tensor in self.state.items()})
