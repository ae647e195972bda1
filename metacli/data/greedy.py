"""Which sentences make up an episode of N types: greedily, so that each has K to 2K entities (N-way K~2K-shot).

Ding et al., "Few-NERD: A Few-shot Named Entity Recognition Dataset", ACL 2021, Algorithm 1. A sentence holds several
entities, so exactly K of each type cannot be had. Their loop draws sentences for ever where no more will do; since
counts only grow, a sentence that was refused once is refused ever after, and one pass over a shuffled list does the
same and ends. Then other types are drawn, so often at most as RETRIES says (ours).
"""

from typing import NamedTuple

import numpy as np
import torch

from metacli.data.sampler import EpisodeShape
from metacli.data.tagged import Foreign
from metacli.errors import UserError

RETRIES = 300


class Drawn(NamedTuple):
    """classes [W] places among the split's · support, query: sentences, as places among the split's."""

    classes: list[int]
    support: list[int]
    query: list[int]


class GreedySampler:
    """mentions [R, C]: entities of each type in each sentence · known [R] bool: sentences without any other type.

    Raises UserError where hardly any types have such episodes.
    """

    def __init__(
        self, split: str, mentions: np.ndarray, known: np.ndarray, shape: EpisodeShape, foreign: Foreign
    ) -> None:
        self.split = split
        self.mentions = mentions
        self.known = known
        self.shape = shape
        self.foreign = foreign
        self.sample(torch.Generator().manual_seed(0))

    def sample(self, generator: torch.Generator) -> Drawn:
        for _ in range(RETRIES):
            classes = torch.randperm(self.mentions.shape[1], generator=generator)[: self.shape.ways].tolist()
            candidates = np.flatnonzero(self._possible(classes))
            support = self._fill(candidates, classes, self.shape.shots, generator)
            if support is None:
                continue
            rest = np.setdiff1d(candidates, support, assume_unique=True)
            query = self._fill(rest, classes, self.shape.queries, generator)
            if query is not None:
                return Drawn(classes, support, query)
        shape = self.shape
        masks = "" if self.foreign == "mask" else ", or dataset.foreign=mask, which takes other types for O"
        raise UserError(
            f"episode.{self.split}: no {shape.ways} types that were drawn in {RETRIES} tries have "
            f"{shape.shots}~{2 * shape.shots} entities to give and {shape.queries}~{2 * shape.queries} to ask for",
            f"ask for fewer ways, shots or queries{masks}",
        )

    def _possible(self, classes: list[int]) -> np.ndarray:
        """[R]: an entity of these types, and none of another unless those are masked."""
        inside = self.mentions[:, classes].sum(1)
        if self.foreign == "mask":
            return inside > 0
        return (inside > 0) & self.known & (inside == self.mentions.sum(1))

    def _fill(
        self, candidates: np.ndarray, classes: list[int], least: int, generator: torch.Generator
    ) -> list[int] | None:
        """Sentences with `least` to twice as many entities of each type, in the order drawn; None: there are none."""
        order = candidates[torch.randperm(len(candidates), generator=generator).numpy()]
        counts, chosen = [0] * len(classes), []
        if not least:
            return []
        for row, own in zip(order.tolist(), self.mentions[np.ix_(order, classes)].tolist(), strict=True):
            after = [count + more for count, more in zip(counts, own, strict=True)]
            wanted = any(more and count < least for count, more in zip(counts, own, strict=True))
            if wanted and max(after) <= 2 * least:
                counts = after
                chosen.append(row)
                if min(counts) >= least:
                    return chosen
        return None
