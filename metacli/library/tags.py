"""Tagged sentences as a user has them -> what a trained network takes, and its answers -> tags and entities."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from metacli.data.tag_episodes import TagSource
from metacli.data.tag_schemes import entities, split_tag
from metacli.data.tagged import TaggedTable, Tags, Tokenizer, tag_name
from metacli.episode import Examples, Inputs, Predictor
from metacli.errors import UserError
from metacli.letters import brief
from metacli.library.predictor import exactly
from metacli.objectives import decode
from metacli.report.spans import spans

Sentences = str | Iterable[str | Sequence[str]]


class Entity(NamedTuple):
    """Words first to last, counted from 0, both of them in it."""

    type: str
    first: int
    last: int
    text: str


@dataclass(frozen=True, eq=False)
class TaggedSentences:
    """words, tags: of each sentence; tags are O, I-TYPE, and B-TYPE where the run tells B and I apart."""

    words: list[list[str]]
    tags: list[list[str]]

    @property
    def entities(self) -> list[list[Entity]]:
        return [
            [
                Entity(span.kind, span.first, span.last, " ".join(own[span.first : span.last + 1]))
                for span in spans(tags)
            ]
            for own, tags in zip(self.words, self.tags, strict=True)
        ]


@dataclass(frozen=True)
class TagReader:
    """tags: what the network tells apart."""

    tokenizer: Tokenizer
    tags: Tags
    device: torch.device

    def words(self, sentences: Sentences) -> list[list[str]]:
        """A string is a sentence whose words are parted by blanks; a list holds such, or lists of words."""
        if isinstance(sentences, bytes) or not isinstance(sentences, Iterable):
            raise UserError(
                f"sentences: {brief(repr(sentences))} is no sentence",
                'give a string, or a list of strings or of lists of words: [["Anna", "Lee"], ["Köln"]]',
            )
        given = [sentences] if isinstance(sentences, str) else list(sentences)
        if not given:
            raise UserError("no sentences", "give at least one")
        return [_words(number, sentence) for number, sentence in enumerate(given)]

    def support(
        self, sentences: Sentences, tags: Iterable[Sequence[str]] | None
    ) -> tuple[tuple[str, ...], Examples]:
        """The types in alphabetical order, and the sentences as one task. tags: of each word O, B-TYPE or I-TYPE."""
        words = self.words(sentences)
        given = [] if tags is None or isinstance(tags, str) else list(tags)
        if [len(own) for own in given if not isinstance(own, str)] != [len(own) for own in words]:
            raise UserError(
                f"tags: not one for each word of the {len(words)} sentences",
                'give a list for each sentence: [["B-person", "I-person", "O"]]',
            )
        read = [_tags(number, own) for number, own in enumerate(given)]
        types = tuple(sorted({kind for kinds, _ in read for kind in kinds if kind}))
        if not types:
            raise UserError("tags: all are O", "mark at least one entity: B-TYPE, I-TYPE")
        return types, self._examples(words, types, read)

    def inputs(self, words: Sequence[Sequence[str]]) -> Inputs:
        """T = 1, of sentences whose tags are to be found."""
        nothing = [((("",) * len(own)), (False,) * len(own)) for own in words]
        return self._examples(words, ("any",), nothing).inputs

    def _examples(
        self,
        words: Sequence[Sequence[str]],
        types: tuple[str, ...],
        read: Sequence[tuple[tuple[str, ...], tuple[bool, ...]]],
    ) -> Examples:
        places = {name: place for place, name in enumerate(types)} | {"": -1}
        rows = np.arange(len(words))
        table = TaggedTable(
            words=tuple(map(tuple, words)),
            types=np.array([places[kind] for kinds, _ in read for kind in kinds], np.int64),
            starts=np.array(list(chain.from_iterable(starts for _, starts in read)), np.bool_),
            classes=types,
            splits={"train": np.arange(len(types))},
            rows={"train": rows},
            tags=self.tags,
            foreign="drop",
        ).tokenised(self.tokenizer)
        source = TagSource(table=table, split="train", device=self.device)
        return source.whole(torch.from_numpy(rows))


@dataclass(frozen=True, eq=False)
class TagPredictor:
    """types: in the order of the network's answers · predictor: of one task, in core types."""

    types: tuple[str, ...]
    predictor: Predictor = field(repr=False)
    read: TagReader = field(repr=False)

    def __call__(self, sentences: Sentences) -> TaggedSentences:
        """sentences: see `TagReader.words`. A word that the tokenizer knows nothing of is O."""
        words = self.read.words(sentences)
        with exactly(self.read.device):
            inputs = self.read.inputs(words)
            label, _ = decode(self.predictor(inputs)[0])  # [N, L]
            found = label.where(inputs["words"][0], 0).cpu()
        return TaggedSentences(
            words, [self._named(own, len(of)) for own, of in zip(found, words, strict=True)]
        )

    def _named(self, labels: Tensor, count: int) -> list[str]:
        """The labels of an episode are O = 0, then I of each type, or B and I."""
        own = labels[:count].tolist()
        if self.read.tags == "io":
            own = [2 * label for label in own]
        return [tag_name(label, self.types) for label in own]


def _words(number: int, sentence: str | Sequence[str]) -> list[str]:
    words = sentence.split() if isinstance(sentence, str) else sentence
    if not isinstance(words, list | tuple) or not words or not all(map(_is_word, words)):
        raise UserError(
            f"sentences: number {number} holds no words, or one that is empty or no string", "leave it out"
        )
    return list(words)


def _is_word(word: object) -> bool:
    return isinstance(word, str) and bool(word.strip())


def _tags(number: int, tags: Sequence[str]) -> tuple[tuple[str, ...], tuple[bool, ...]]:
    try:
        found = entities([split_tag(str(tag), "iob1") for tag in tags], "iob1")
    except ValueError as error:
        raise UserError(
            f"tags of sentence {number}: {brief(str(error).replace(' of scheme iob1', ''))}",
            "write O, B-TYPE and I-TYPE",
        ) from None
    return found.types, found.starts
