"""Episodes from one split of an image table: the images are one uint8 tensor, an episode is an index gather."""

import copy
from collections.abc import Iterator, Mapping
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from metacli.data.augment import augmented
from metacli.data.sampler import EpisodeShape, Sampler
from metacli.data.table import Table, check_shape
from metacli.episode import Episode, Examples, Inputs
from metacli.runtime import generator

# Evaluation episodes are drawn in blocks of this many, each with its own generator under a seed that is not the
# run's: which episodes there are depends on the data and the episode shape alone.
EVALUATION_SEED = 0
EVALUATION_BLOCK = 64


class ImageSource:
    """One split of `table`. Rows and classes are those of the table."""

    def __init__(
        self, *, table: Table, split: str, device: torch.device, images: Tensor | None = None
    ) -> None:
        self.table = table
        self.split = split
        self.device = device
        self.images = images if images is not None else torch.from_numpy(table.images).to(device)
        self.features = torch.empty(0)
        self.classes = torch.from_numpy(np.ascontiguousarray(table.splits[split]))
        rows = [np.flatnonzero(table.labels == c) for c in table.splits[split]]
        self.counts = torch.tensor([len(r) for r in rows])
        width = max((len(r) for r in rows), default=0)
        padded = [np.pad(r, (0, width - len(r)), mode="edge") for r in rows]
        self.members = torch.from_numpy(np.stack(padded) if padded else np.empty((0, 0), np.int64))

    def sampler(self, shape: EpisodeShape) -> Sampler:
        """Raises UserError where the split cannot give such episodes."""
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
    def rows(self) -> Tensor:
        """Of every image of the split, ascending."""
        return torch.from_numpy(np.flatnonzero(np.isin(self.table.labels, self.table.splits[self.split])))

    def local(self, rows: Tensor) -> Tensor:
        """The place among the split's classes that each image has. Raises ValueError at an image of another split."""
        places = torch.full((len(self.table.classes),), -1)
        places[self.classes] = torch.arange(len(self.classes))
        found = places[torch.from_numpy(self.table.labels)[rows]]
        if (found < 0).any():
            raise ValueError(f"an image that is not of the {self.split} split")
        return found

    def inputs(self, rows: Tensor) -> Inputs:
        """rows [...] of the table -> {"x": [..., C, H, W]}, or the features [..., D] that stand for images."""
        if len(self.features):
            return {"x": self.features[rows.to(self.features.device)]}
        return {"x": scaled(self.images[rows.to(self.images.device)])}

    def featured(self, features: Tensor) -> "ImageSource":
        """The same episodes, of features [R, D] in place of the images of the table."""
        other = copy.copy(self)
        other.features = features.to(self.device)
        return other

    def whole(self, rows: Tensor) -> Examples:
        """Images of the split as one task whose ways are all its classes. rows [N]"""
        labels = self.local(rows)[None]
        mask = torch.ones_like(labels, dtype=torch.bool)
        return Examples(self.inputs(rows[None]), labels, mask, rows[None], self.classes[None]).to(self.device)

    def fixed_episodes(
        self, sampler: Sampler, count: int, chunk: int = EVALUATION_BLOCK
    ) -> Iterator[Episode]:
        """The first `count` of an endless list of episodes that is the same for every method and run.

        At most `chunk` of them at a time, so that `chunk` decides the memory.
        """
        for start in range(0, count, EVALUATION_BLOCK):
            source = generator(EVALUATION_SEED, f"{self.split} evaluation", start // EVALUATION_BLOCK)
            classes, rows = sampler.sample(EVALUATION_BLOCK, source)
            for part in torch.arange(start, min(start + EVALUATION_BLOCK, count)).split(chunk):
                yield self._gather(part, classes[part - start], rows[part - start], sampler.shape.shots)

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


def sources(table: Table, device: torch.device) -> Mapping[str, ImageSource]:
    """One for each split; they share one tensor of images."""
    images = torch.from_numpy(table.images).to(device)
    return {
        split: ImageSource(table=table, split=split, device=device, images=images) for split in table.splits
    }


def scaled(images: Tensor) -> Tensor:
    """[..., H, W, C] uint8 -> [..., C, H, W] float32 from 0 to 1."""
    return images.movedim(-1, -3).to(torch.float32).div_(255)
