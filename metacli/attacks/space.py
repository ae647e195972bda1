"""Where an attack may go: the pixels of images, or the embeddings of a text's tokens.

A point in it is a tensor [T, N, ...]; `inputs` is what a network takes at that point. In the space of texts a point is
what is added to the embeddings [T, N, L, H], so that texts as they are lie at zero: Miyato et al. 2017 and Zhu et al.
2020 perturb embeddings, too, and padding never. Here as in the code of the latter all other tokens are, the special
ones that a tokenizer adds among them. Miyato et al. normalise the embeddings first; those of a network that others have
trained stay as they are.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from metacli.episode import Examples
from metacli.layers.tokens import displaced
from metacli.learner import Learner


class Space(Protocol):
    @property
    def x(self) -> Tensor:
        """Where the examples are."""

    @property
    def numbers(self) -> Tensor:
        """Of each item, how many it consists of: [T, N, 1, ...]."""

    def allowed(self, at: Tensor) -> Tensor:
        """The nearest point that is of an input."""

    def inputs(self, at: Tensor) -> Tensor:
        """What a network takes there."""


@dataclass(frozen=True)
class Pixels:
    """Images [T, N, ...] stay images: from 0 to 1."""

    x: Tensor

    @property
    def numbers(self) -> Tensor:
        each = self.x[0, 0].numel()
        return self.x.new_full((*self.x.shape[:2], *[1] * (self.x.dim() - 2)), each)

    def allowed(self, at: Tensor) -> Tensor:
        return at.clamp(0, 1)

    def inputs(self, at: Tensor) -> Tensor:
        return at


@dataclass(frozen=True)
class Embeddings:
    """Of the tokens of texts, ids [T, N, L]; padding, −1, stays where it is. x [T, N, L, H]: zeros."""

    ids: Tensor
    x: Tensor

    @property
    def _real(self) -> Tensor:
        return (self.ids >= 0).unsqueeze(-1)

    @property
    def numbers(self) -> Tensor:
        return self._real.sum(2, keepdim=True).to(self.x.dtype) * self.x.shape[-1]

    def allowed(self, at: Tensor) -> Tensor:
        return at * self._real

    def inputs(self, at: Tensor) -> Tensor:
        return displaced(self.ids, at)


def space_of(learner: Learner, examples: Examples) -> Space:
    """That of its inputs."""
    x = examples.inputs["x"]
    words = max(getattr(module, "words", 0) for module in learner.modules())
    if not words:
        return Pixels(x)
    weights = next(learner.parameters())
    return Embeddings(x, torch.zeros(*x.shape, words, dtype=weights.dtype, device=x.device))
