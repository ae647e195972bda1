"""Episodes of tagged sentences: types are drawn, then sentences by `GreedySampler`.

The tags of an episode are O = 0, then I of each type in the order drawn (tags=io), or B and I of each (tags=bio).
Tasks have different numbers of sentences, and those different lengths: what is padding has row −1 and mask False.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self

import numpy as np
import torch
from torch import Tensor

from metacli.data.greedy import Drawn, GreedySampler
from metacli.data.sampler import EpisodeShape
from metacli.data.source import EVALUATION_BLOCK, EVALUATION_SEED
from metacli.data.tagged import TaggedTable
from metacli.episode import Episode, Examples, Inputs
from metacli.errors import UserError
from metacli.files import digest
from metacli.runtime import generator

TOGETHER = 16  # sentences in one pass of a network


class TagSource:
    """One split of `table`, which has tokens."""

    what = "sentences"

    def __init__(self, *, table: TaggedTable, split: str, device: torch.device) -> None:
        self.table = table
        self.split = split
        self.device = device
        self.classes = table.splits[split]
        self.rows = table.rows[split]
        self._states: Tensor | None = None
        self._starts = np.empty(0, np.int64)  # among the states, of each sentence

    @property
    def seen(self) -> Tensor:
        """Rows in the table of every sentence that episodes can have."""
        return torch.from_numpy(self.rows)

    @property
    def fingerprint(self) -> str:
        """Changes when any token does, or what word it is of."""
        tokens = self.table.tokens
        assert tokens is not None
        return digest(tokens.ids.data, tokens.firsts.data)

    def states_of(
        self, states_by: Callable[[Inputs], Tensor], progress: Callable[[int], None] = lambda done: None
    ) -> Tensor:
        """[m, H] of all words of the split, sentence by sentence; sentences of like length go through together.

        states_by: a network's inputs -> [T, N, L, H] · progress: called with the number of sentences done.
        """
        lengths = np.diff(self.table.offsets)[self.rows]
        order = np.argsort(lengths, kind="stable")
        parts: list[Tensor] = [torch.empty(0)] * len(order)
        for start in range(0, len(order), TOGETHER):
            places = order[start : start + TOGETHER]
            inputs = self._inputs(torch.from_numpy(self.rows[places])[None], int(lengths[places].max()))
            states = states_by({name: tensor.to(self.device) for name, tensor in inputs.items()})[0].cpu()
            for place, own in zip(places, states, strict=True):
                parts[place] = own[: lengths[place]].clone()
            progress(start + len(places))
        return torch.cat(parts)

    def with_states(self, states: Tensor) -> Self:
        """The same source, of states [m, H] in place of tokens."""
        found = type(self)(table=self.table, split=self.split, device=self.device)
        found._states = states
        found._starts = np.full(len(self.table.words), -1)
        found._starts[self.rows] = np.cumsum([0, *np.diff(self.table.offsets)[self.rows]])[:-1]
        return found

    def sampler(self, shape: EpisodeShape) -> GreedySampler:
        """Raises UserError where the split cannot give such episodes."""
        mentions = self.table.mentions[self.rows]
        own = mentions[:, self.classes]
        return GreedySampler(
            self.split, own, own.sum(1) == mentions.sum(1), shape, self.table.foreign_of(self.split)
        )

    def episode(self, sampler: GreedySampler, *, seed: int, step: int, tasks: int) -> Episode:
        """The meta-batch of one outer step."""
        index = range(step * tasks, (step + 1) * tasks)
        return self._episode(index, [sampler.sample(generator(seed, self.split, task)) for task in index])

    def fixed_episodes(
        self, sampler: GreedySampler, count: int, chunk: int = EVALUATION_BLOCK
    ) -> Iterator[Episode]:
        """The first `count` of an endless list of episodes that is the same for every method and run."""
        purpose = f"{self.split} evaluation"
        for start in range(0, count, chunk):
            index = range(start, min(start + chunk, count))
            drawn = [sampler.sample(generator(EVALUATION_SEED, purpose, task)) for task in index]
            yield self._episode(index, drawn)

    def whole(self, rows: Tensor) -> Examples:
        """Sentences [n] of the split as one task whose types are all those of the split."""
        return self._examples([rows.numpy()], torch.from_numpy(self.classes)[None])

    def _episode(self, index: Sequence[int], drawn: Sequence[Drawn]) -> Episode:
        classes = torch.from_numpy(self.classes)[torch.tensor([task.classes for task in drawn])]
        support, query = (
            self._examples([self.rows[np.array(places, np.int64)] for places in chosen], classes)
            for chosen in ([task.support for task in drawn], [task.query for task in drawn])
        )
        return Episode(support, query, torch.tensor(list(index)))

    def _examples(self, chosen: Sequence[np.ndarray], classes: Tensor) -> Examples:
        """chosen: sentences of each task · classes [T, W] of the table."""
        offsets = self.table.offsets
        lengths = [np.diff(offsets)[rows] for rows in chosen]
        sentences = max((len(rows) for rows in chosen), default=0)
        words = max((int(length.max(initial=0)) for length in lengths), default=0)
        rows = torch.full((len(chosen), sentences), -1)
        labels = torch.full((*rows.shape, words), -1)
        for task, own in enumerate(chosen):
            rows[task, : len(own)] = torch.from_numpy(own)
            places = self._places(classes[task].numpy())
            for place, row in enumerate(own):
                tags = self._tags(places, slice(offsets[row], offsets[row + 1]))
                labels[task, place, : len(tags)] = torch.from_numpy(tags)
        inputs = self._inputs(rows, words)
        return Examples(inputs, labels, inputs["words"].cpu(), rows, classes).to(self.device)

    def _inputs(self, rows: Tensor, words: int) -> Inputs:
        """Of sentences [T, N], −1 = padding, of at most L words; see `word_states`."""
        table, tokens = self.table, self.table.tokens
        assert tokens is not None
        width = tokens.ids.shape[1]
        places = torch.full((*rows.shape, words), -1)  # among the states, or the tokens of a task
        pieces: list[list[int]] = []
        for task, own in enumerate(rows.tolist()):
            pieces.append([])
            for sentence, row in enumerate(own):
                if row < 0:
                    continue
                start, end = table.offsets[row : row + 2]
                firsts = tokens.firsts[start:end]
                if self._states is not None:
                    found = np.where(firsts < 0, -1, self._starts[row] + np.arange(end - start))
                else:
                    moved = (len(pieces[task]) - tokens.pieces[row]) * width
                    found = np.where(firsts < 0, -1, firsts + moved)
                    pieces[task] += range(tokens.pieces[row], tokens.pieces[row + 1])
                places[task, sentence, : end - start] = torch.from_numpy(found)
        if self._states is not None:
            known = places >= 0
            return {"states": self._states[places.clamp(min=0)] * known.unsqueeze(-1), "words": known}
        ids = torch.full((len(rows), max(map(len, pieces)), width), -1)
        for task, chosen in enumerate(pieces):
            ids[task, : len(chosen)] = torch.from_numpy(tokens.ids[chosen]).long()
        return {"x": ids, "places": places, "words": places >= 0}

    def _places(self, classes: np.ndarray) -> np.ndarray:
        """[C + 1] place of each type in an episode of some; the last is that of −1, outside of entities."""
        places = np.full(len(self.table.classes) + 1, -1)
        places[classes] = np.arange(len(classes))
        return places

    def _tags(self, places: np.ndarray, words: slice) -> np.ndarray:
        place = places[self.table.types[words]]
        if self.table.tags == "io":
            return place + 1
        return np.where(place < 0, 0, 2 * place + 2 - self.table.starts[words])


class WholeSource(TagSource):
    """Every sentence of a split is a task of its own, with all types of meta-train, of which nothing is given."""

    def __init__(self, *, table: TaggedTable, split: str, device: torch.device) -> None:
        super().__init__(table=table, split=split, device=device)
        self.classes = table.splits["train"]

    def sampler(self, shape: EpisodeShape) -> None:  # type: ignore[override]
        """There is nothing to draw. Raises UserError where the split has types that meta-train lacks."""
        new = np.setdiff1d(self.table.splits[self.split], self.classes)
        if len(new):
            raise UserError(
                f"dataset.split_by: {self.split} has the type {self.table.classes[new[0]]}, which train lacks",
                "what is trained on whole splits can only find types that it has seen; dataset.split_by=item, or as "
                "dataset@target data of the same types",
            )

    def fixed_episodes(self, sampler: None, count: int, chunk: int = EVALUATION_BLOCK) -> Iterator[Episode]:  # type: ignore[override]
        """All sentences, whatever `count` says."""
        everything = list(range(len(self.classes)))
        for start in range(0, len(self.rows), chunk):
            index = range(start, min(start + chunk, len(self.rows)))
            yield self._episode(index, [Drawn(everything, [], [place]) for place in index])


def whole(sources: Mapping[str, TagSource]) -> Mapping[str, WholeSource]:
    return {
        split: WholeSource(table=source.table, split=split, device=source.device)
        for split, source in sources.items()
    }


def sources(table: TaggedTable, device: torch.device) -> Mapping[str, TagSource]:
    return {split: TagSource(table=table, split=split, device=device) for split in table.splits}
