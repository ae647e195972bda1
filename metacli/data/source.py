"""Episodes from one split of labelled items: the items are one tensor in memory, an episode is an index gather."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from metacli.data.augment import augmented
from metacli.data.sampler import EpisodeShape, Sampler
from metacli.data.table import Labelled, check_shape
from metacli.episode import Episode, Examples, Inputs
from metacli.errors import UserError
from metacli.runtime import generator

# Evaluation episodes are drawn in blocks of this many, each with its own generator under a seed that is not the
# run's: which episodes there are depends on the data and the episode shape alone.
EVALUATION_SEED = 0
EVALUATION_BLOCK = 64


class Source(ABC):
    """One split of `table`. Rows and classes are those of the table. what: its items are."""

    what: ClassVar = "images"

    def __init__(self, *, table: Labelled, split: str, device: torch.device) -> None:
        self.table = table
        self.split = split
        self.device = device
        self.features = torch.empty(0)
        self.answers = torch.empty(0, dtype=torch.int64)
        self.classes = torch.from_numpy(np.ascontiguousarray(table.splits[split]))
        self.rows = torch.from_numpy(table.rows(split))  # of every item of the split, ascending
        labels = torch.from_numpy(table.labels)[self.rows]
        rows = [self.rows[labels == c] for c in self.classes]
        self.counts = torch.tensor([len(r) for r in rows])
        width = max((len(r) for r in rows), default=0)
        padded = [torch.cat([r, r[-1:].expand(width - len(r))]) for r in rows]
        self.members = torch.stack(padded) if padded else torch.empty((0, 0), dtype=torch.int64)

    @abstractmethod
    def items(self, rows: Tensor) -> Inputs:
        """Those at `rows` [...] of the table, as a network takes them: {"x": [..., C, H, W]}, say."""

    def inputs(self, rows: Tensor) -> Inputs:
        """The items at `rows` [...], or the features [..., D] that stand for them."""
        if len(self.features):
            return {"x": self.features[rows.to(self.features.device)]}
        return self.items(rows)

    @property
    def seen(self) -> Tensor:
        """Rows of all items that episodes can have, in the order in which they are best computed."""
        outside = self.table.outside.get(self.split, ())
        return torch.cat([self.rows, torch.as_tensor(outside, dtype=self.rows.dtype)])

    @property
    def fingerprint(self) -> str:
        """Changes when what a network takes of any item does."""
        return self.table.fingerprint

    def featured(self, features: Tensor) -> Self:
        """The same episodes, of features [R, D] in place of the items of the table."""
        other = copy.copy(self)
        other.features = features.to(self.device)
        return other

    def whole_split(self, answers: Tensor) -> Self:
        """The same items, each a task of its own of which nothing is given, with all of the classes `answers` [C] of
        meta-train to answer with."""
        other = copy.copy(self)
        other.answers = answers
        return other

    def sampler(self, shape: EpisodeShape) -> Sampler:
        """Raises UserError where the split cannot give such episodes."""
        if len(self.answers):
            return self._nothing_drawn(shape)
        names = [self.table.classes[c] for c in self.classes.tolist()]
        sizes = dict(list(zip(names, self.counts.tolist(), strict=True))[:: self.table.variants])
        check_shape(self.split, shape.ways, shape.shots, shape.queries, sizes)
        return Sampler(self.members, self.counts, shape, self.table.variants)

    def episode(self, sampler: Sampler, *, seed: int, step: int, tasks: int) -> Episode:
        """The meta-batch of one outer step, its images varied as the table says."""
        index = torch.arange(step * tasks, (step + 1) * tasks)
        classes, rows = sampler.sample(tasks, generator(seed, self.split, step))
        episode = self._gather(index, classes, rows, sampler.shape.shots)
        return augmented(episode, self.table.augmentation, generator(seed, "augment", step))

    @cached_property
    def _places(self) -> Tensor:
        """[R] the place among the split's classes that each item of the table has; −1 outside the split."""
        of_class = torch.full((len(self.table.classes),), -1)
        of_class[self.classes] = torch.arange(len(self.classes))
        places = torch.full((len(self.table.labels),), -1)
        places[self.rows] = of_class[torch.from_numpy(self.table.labels)[self.rows]]
        return places

    def local(self, rows: Tensor) -> Tensor:
        """The place among the split's classes that each item has. Raises ValueError at an item of another split."""
        found = self._places[rows]
        if (found < 0).any():
            raise ValueError(f"an item that is not of the {self.split} split")
        return found

    def whole(self, rows: Tensor) -> Examples:
        """Items of the split as one task whose ways are all its classes. rows [N]"""
        labels = self.local(rows)[None]
        mask = torch.ones_like(labels, dtype=torch.bool)
        inputs = self.inputs(rows[None])
        return Examples(inputs, labels, mask, rows[None], self.classes[None]).to(self.device)

    def fixed_episodes(
        self, sampler: Sampler, count: int, chunk: int = EVALUATION_BLOCK
    ) -> Iterator[Episode]:
        """The first `count` of an endless list of episodes that is the same for every method and run.

        At most `chunk` of them at a time, so that `chunk` decides the memory.
        """
        if len(self.answers):
            yield from self._each_once(chunk)
            return
        for start in range(0, count, EVALUATION_BLOCK):
            source = generator(EVALUATION_SEED, f"{self.split} evaluation", start // EVALUATION_BLOCK)
            classes, rows = sampler.sample(EVALUATION_BLOCK, source)
            for part in torch.arange(start, min(start + EVALUATION_BLOCK, count)).split(chunk):
                yield self._gather(part, classes[part - start], rows[part - start], sampler.shape.shots)

    def _nothing_drawn(self, shape: EpisodeShape) -> Sampler:
        lacking = self.classes[~torch.isin(self.classes, self.answers)]
        if len(lacking):
            raise UserError(
                f"{self.split} has the class {self.table.classes[lacking[0]]}, which train lacks",
                "what is trained on whole splits can only answer with classes that it has seen: "
                "dataset.split_by=item, where the data set has it",
            )
        return Sampler(self.members, self.counts, replace(shape, ways=2, shots=1, queries=0))

    def _each_once(self, chunk: int) -> Iterator[Episode]:
        """In an order that is the same for every method and run, so that its first items are of all classes."""
        order = torch.randperm(len(self.rows), generator=generator(EVALUATION_SEED, f"{self.split} whole", 0))
        of_answer = torch.full((len(self.table.classes),), -1)
        of_answer[self.answers] = torch.arange(len(self.answers))
        for index in torch.arange(len(order)).split(chunk):
            rows = self.rows[order[index]].unsqueeze(1)
            labels = of_answer[torch.from_numpy(self.table.labels)[rows]]
            classes = self.answers.expand(len(rows), -1)
            query = Examples(
                self.inputs(rows), labels, torch.ones_like(labels, dtype=torch.bool), rows, classes
            )
            yield Episode(query.at(index[:0]).to(self.device), query.to(self.device), index)

    def outside(self, index: Tensor, count: int) -> Examples:
        """For the fixed episodes `index` [T], so many items at most that are of none of their classes."""
        others = torch.from_numpy(self.table.outside[self.split])
        orders = [
            torch.randperm(
                len(others), generator=generator(EVALUATION_SEED, f"{self.split} outside", episode)
            )
            for episode in index.tolist()
        ]
        rows = others[torch.stack(orders)[:, :count]]
        nothing = torch.zeros_like(rows, dtype=torch.bool)
        inputs = self.inputs(rows)
        return Examples(inputs, torch.full_like(rows, -1), nothing, rows, rows[:, :0]).to(self.device)

    def _gather(self, index: Tensor, classes: Tensor, rows: Tensor, shots: int) -> Episode:
        """index [T] · classes [T, W] of the split · rows [T, W, n], the first `shots` of each class support."""
        classes = self.classes[classes]
        support = self._examples(rows[:, :, :shots], classes)
        return Episode(support, self._examples(rows[:, :, shots:], classes), index)

    def _examples(self, rows: Tensor, classes: Tensor) -> Examples:
        """rows [T, W, n] -> examples of N = W·n items, class by class."""
        tasks, ways, each = rows.shape
        labels = torch.arange(ways).repeat_interleave(each).expand(tasks, -1)
        rows = rows.flatten(1)
        mask = torch.ones_like(labels, dtype=torch.bool)
        return Examples(self.inputs(rows), labels, mask, rows, classes).to(self.device)


def whole(sources: Mapping[str, Source]) -> Mapping[str, Source]:
    """What is trained on is as ever: by epochs."""
    answers = sources["train"].classes
    return {split: source.whole_split(answers) for split, source in sources.items()}
