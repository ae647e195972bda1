"""Which rows make up an episode: seeded, for a whole meta-batch at once, by index alone."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class EpisodeShape:
    """shots and queries are per class."""

    ways: int
    shots: int
    queries: int


class Sampler:
    """Draws classes, then items, without replacement.

    members [C, M] rows of each class, the first counts[c] of them valid; there must be enough of both. With
    `variants` each run of so many classes is forms of one, of which an episode has at most one, drawn evenly.
    """

    def __init__(self, members: Tensor, counts: Tensor, shape: EpisodeShape, variants: int = 1) -> None:
        self.members = members
        self.shape = shape
        self.variants = variants
        # Position p of class c is drawn with key u + never[c, p]: infinite where the class has no such item.
        absent = torch.arange(members.shape[1]) >= counts.unsqueeze(1)
        self.never = torch.zeros(members.shape).masked_fill_(absent, torch.inf)

    def sample(self, tasks: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Classes [T, W] of the split in random order, and rows [T, W, shots + queries]."""
        shape = self.shape
        keys = torch.rand(tasks, len(self.members) // self.variants, generator=generator)
        classes = keys.topk(shape.ways, dim=1).indices
        if self.variants > 1:
            forms = torch.randint(self.variants, classes.shape, generator=generator)
            classes = self.variants * classes + forms
        keys = torch.rand(tasks, shape.ways, self.members.shape[1], generator=generator) + self.never[classes]
        chosen = keys.topk(shape.shots + shape.queries, dim=2, largest=False).indices
        return classes, self.members[classes].gather(2, chosen)
