"""Tagged sentences without episodes: those of meta-train in shuffled mini-batches, epoch by epoch, of like length each.

A batch is an episode of one task with an empty support set, whose types are all those of meta-train; see batches.py.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from metacli.data.tag_episodes import TagSource
from metacli.episode import Episode
from metacli.runtime import generator

POOL = 16  # batches whose sentences are sorted by length together


class TagBatches:
    """As `Batches`, of the source of meta-train; raises ValueError at another."""

    what = "sentences"

    def __init__(self, source: TagSource, *, size: int, held_out: float, seed: int, purpose: str) -> None:
        if source.split != "train":
            raise ValueError(f"sentences of the {source.split} split are not to be trained on")
        self.source = source
        self.seed = seed
        self.purpose = purpose
        self.size = size
        order = torch.randperm(len(source.rows), generator=generator(seed, f"{purpose} sentences"))
        rows = source.seen[order]
        out = int(len(rows) * held_out)
        self.rows, self.held_out_rows = rows[out:], rows[:out]
        self.per_epoch = math.ceil(len(self.rows) / size)
        self._epoch: tuple[int, list[Tensor]] = (-1, [])  # the one that was asked for last

    def batch(self, step: int) -> Episode:
        epoch, place = divmod(step, self.per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._order(epoch)
        return self._episode(self._epoch[1][place], step)

    def held_out(self) -> Iterator[Episode]:
        for number, part in enumerate(self.held_out_rows.split(self.size) if len(self.held_out_rows) else ()):
            yield self._episode(part, number)

    def _order(self, epoch: int) -> list[Tensor]:
        """Its batches: shuffled, and within every `POOL` batches sorted by length."""
        random = generator(self.seed, f"{self.purpose} order", epoch)
        lengths = torch.from_numpy(np.diff(self.source.table.offsets))
        batches: list[Tensor] = []
        for pool in self.rows[torch.randperm(len(self.rows), generator=random)].split(POOL * self.size):
            batches += pool[lengths[pool].argsort(stable=True)].split(self.size)
        return [batches[place] for place in torch.randperm(len(batches), generator=random)]

    def _episode(self, rows: Tensor, index: int) -> Episode:
        nothing, asked = self.source.whole(rows[:0]), self.source.whole(rows)
        return Episode(nothing, asked, torch.tensor([index]))
