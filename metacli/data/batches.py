"""Whole classes, without episodes: the items of the meta-train classes in shuffled mini-batches, epoch by epoch.

A batch is an episode of one task with an empty support set, whose ways are all the classes: what trains on episodes
trains on batches, too. An image of another split cannot be in one.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from metacli.data.augment import augmented
from metacli.data.source import EVALUATION_BLOCK, Source
from metacli.episode import Episode
from metacli.runtime import generator


class Batches:
    """Made from the source of the meta-train classes; raises ValueError at another.

    size: of a batch, at most · held_out: share of the images that are in no batch, spread over the classes · images:
    so many are drawn, where there are more; None for all · purpose: what they are for, by which they are drawn.
    """

    def __init__(
        self,
        source: Source,
        *,
        size: int,
        held_out: float,
        seed: int,
        purpose: str,
        images: int | None = None,
    ) -> None:
        if source.split != "train":
            raise ValueError(f"images of the {source.split} split are not to be trained on")
        self.source = source
        self.what = source.what
        self.seed = seed
        self.purpose = purpose
        rows = source.rows[torch.randperm(len(source.rows), generator=generator(seed, f"{purpose} images"))]
        rows = rows[:images]
        rows = rows[source.local(rows).argsort(stable=True)]  # class by class
        share = torch.arange(len(rows) + 1, dtype=torch.float64) * held_out
        out = share[1:].floor() > share[:-1].floor()  # every tenth, where held_out is 0.1
        self.rows = rows[~out]
        self.held_out_rows = rows[out]
        self.per_epoch = math.ceil(len(self.rows) / size)
        self._epoch: tuple[int, tuple[Tensor, ...]] = (-1, ())  # the one that was asked for last

    def batch(self, step: int) -> Episode:
        """That of one step, its images varied as the data set says; within an epoch sizes differ by one at most."""
        epoch, place = divmod(step, self.per_epoch)
        if self._epoch[0] != epoch:
            random = generator(self.seed, f"{self.purpose} order", epoch)
            order = torch.randperm(len(self.rows), generator=random)
            self._epoch = epoch, self.rows[order].tensor_split(self.per_epoch)
        random = generator(self.seed, f"{self.purpose} augment", step)
        return augmented(self._episode(self._epoch[1][place], step), self.source.table.augmentation, random)

    def every(self) -> Iterator[Episode]:
        """All images that are in batches, as they are, class by class."""
        return self._in_order(self.rows)

    def held_out(self) -> Iterator[Episode]:
        """Those that are in none, as they are, class by class."""
        return self._in_order(self.held_out_rows)

    def _in_order(self, rows: Tensor) -> Iterator[Episode]:
        for number, part in enumerate(rows.split(4 * EVALUATION_BLOCK) if len(rows) else ()):
            yield self._episode(part, number)

    def _episode(self, rows: Tensor, index: int) -> Episode:
        return Episode(self.source.whole(rows[:0]), self.source.whole(rows), torch.tensor([index]))
