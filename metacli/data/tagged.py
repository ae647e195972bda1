"""Sentences whose words are tagged: what a column data set builds, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol

from metacli.data.table import SPLITS
from metacli.errors import UserError
from metacli.files import digest

if TYPE_CHECKING:
    import numpy as np

Tags = Literal["io", "bio"]
Foreign = Literal["drop", "mask"]


class Tokens(NamedTuple):
    """A sentence longer than a network takes is cut at a word into several pieces, P of them in all.

    ids [P, S] int32, −1 after the end of a piece · pieces [R + 1]: those of sentence r are pieces[r]:pieces[r + 1] ·
    firsts [M]: where the first token of each word stands in `ids`, row by row; −1 for a word without any.
    """

    ids: np.ndarray
    pieces: np.ndarray
    firsts: np.ndarray


class Tokenizer(Protocol):
    """max_length: tokens of a piece · words: sentences -> token ids [N, S], and of each the place of its word [N, S],
    −1 at special tokens and padding; of a longer sentence the beginning alone."""

    max_length: int

    def words(self, sentences: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]: ...


@dataclass(frozen=True)
class TaggedTable:
    """R sentences of M words in all.

    words: a sentence a row · types [M] int64 into `classes`, −1 = outside of entities · starts [M] bool: an entity
    begins at the word · splits: split -> class ids [n] · rows: split -> its sentences [n], which no other split has ·
    tags: what words are to be told apart by, I-TYPE alone or B-TYPE and I-TYPE · foreign: what becomes of entities
    whose type is none of an episode's: their sentence is not drawn, or they count as outside.
    """

    words: tuple[tuple[str, ...], ...]
    types: np.ndarray
    starts: np.ndarray
    classes: tuple[str, ...]
    splits: Mapping[str, np.ndarray]
    rows: Mapping[str, np.ndarray]
    tags: Tags
    foreign: Foreign
    notes: tuple[str, ...] = ()
    tokens: Tokens | None = None
    foreign_at_test: Foreign | None = None  # where the test split is another data set's
    kind: ClassVar = "tag"

    @cached_property
    def offsets(self) -> np.ndarray:
        """[R + 1]: the words of sentence r are offsets[r]:offsets[r + 1]."""
        import numpy as np

        return np.cumsum([0, *(len(sentence) for sentence in self.words)])

    @cached_property
    def mentions(self) -> np.ndarray:
        """[R, C] entities of each class in each sentence."""
        import numpy as np

        found = np.zeros((len(self.words), len(self.classes)), np.int64)
        row_of = np.repeat(np.arange(len(self.words)), np.diff(self.offsets))
        np.add.at(found, (row_of[self.starts], self.types[self.starts]), 1)
        return found

    def sequences(self, split: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of all words of a split, one after another: type, −1 outside · tag: O, B or I is 0, 1, 2 · whether a sentence
        begins at it."""
        import numpy as np

        rows = self.rows[split]
        words = np.concatenate([np.arange(*self.offsets[row : row + 2]) for row in rows])
        inside = self.types[words] >= 0
        tags = np.where(inside, 2 - (self.starts[words] & (self.tags == "bio")), 0)
        return self.types[words], tags, np.isin(words, self.offsets[rows])

    def foreign_of(self, split: str) -> Foreign:
        return (split == "test" and self.foreign_at_test) or self.foreign

    def names(self, split: str) -> list[str]:
        """Of the types of a split."""
        return [self.classes[c] for c in self.splits[split].tolist()]

    @property
    def counts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "sentences": {split: len(rows) for split, rows in self.rows.items()},
            "classes": {split: len(ids) for split, ids in self.splits.items()},
        }

    @property
    def class_overlap(self) -> int:
        """How many types stand in more than one split."""
        together = Counter(int(c) for ids in self.splits.values() for c in ids)
        return sum(count > 1 for count in together.values())

    def outputs(self, ways: int) -> int:
        """Tags of an episode with so many types: O, and one or two of each."""
        return 1 + ways * (2 if self.tags == "bio" else 1)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one piece as a network gets it, [S]; none before there are tokens."""
        return () if self.tokens is None else self.tokens.ids.shape[1:]

    def tokenised(self, tokenizer: Tokenizer) -> TaggedTable:
        import numpy as np

        tokens = _tokens(self.words, tokenizer)
        split, lost = int((np.diff(tokens.pieces) > 1).sum()), int((tokens.firsts < 0).sum())
        notes = [f"sentences read in pieces of {tokenizer.max_length} tokens: {split}"] if split else []
        notes += [f"words without a token, which are taken for O: {lost}"] if lost else []
        return replace(self, tokens=tokens, notes=(*self.notes, *notes))

    @property
    def fingerprint(self) -> str:
        """Changes when any word, tag or type's name does; splits have no part in it."""
        import numpy as np

        text = "\n".join("\t".join(sentence) for sentence in self.words)
        return digest(
            text.encode("utf-8", "surrogatepass"),
            np.ascontiguousarray(self.types).data,
            np.ascontiguousarray(self.starts).data,
            "\n".join(self.classes).encode(),
            self.tags.encode(),
        )

    @property
    def split_fingerprint(self) -> str:
        """Changes when a type or a sentence moves to another split."""
        parts = (f"{s}:{self.splits[s].tolist()}:{self.rows[s].tolist()}" for s in SPLITS)
        foreign = self.foreign + (self.foreign_at_test or "")
        return digest(*(part.encode() for part in parts), foreign.encode())


def check_entities(split: str, ways: int, shots: int, queries: int, sizes: Mapping[str, int]) -> None:
    """Raises UserError where too few types (type -> entities) have enough of them; others are never drawn."""
    enough = [name for name, count in sizes.items() if count >= shots + queries]
    if ways > len(enough):
        raise UserError(
            f"episode.{split}.ways={ways}: of {len(sizes)} types of the {split} split {len(enough)} have "
            f"{shots} + {queries} entities",
            "ask for fewer ways, shots or queries, or split otherwise (dataset.split_by)",
        )


def tag_name(tag: int, classes: tuple[str, ...]) -> str:
    """Of a data set's tags, whatever an episode's are: 0 is O, then B-TYPE and I-TYPE of each class."""
    return "O" if tag == 0 else f"{'IB'[tag % 2]}-{classes[(tag - 1) // 2]}"


def _tokens(sentences: Sequence[Sequence[str]], tokenizer: Tokenizer) -> Tokens:
    import numpy as np

    done: list[list[tuple[np.ndarray, dict[int, int]]]] = [
        [] for _ in sentences
    ]  # ids, word -> its first token
    todo = [(row, 0) for row in range(len(sentences))]  # from which word on
    while todo:
        ids, places = tokenizer.words([sentences[row][start:] for row, start in todo])
        longer = []
        for (row, start), own, place in zip(todo, ids, places, strict=True):
            length = int((own >= 0).sum())
            firsts: dict[int, int] = {}
            for token, word in enumerate(place[:length].tolist()):
                if word >= 0:
                    firsts.setdefault(start + word, token)
            last = max(firsts, default=start)
            if length >= tokenizer.max_length and last < len(sentences[row]) - 1:
                # The last word may have lost its end: the next piece begins with it, unless it is the only one.
                following = last if len(firsts) > 1 else last + 1
                firsts = {word: token for word, token in firsts.items() if word < following}
                longer.append((row, following))
            done[row].append((own[:length], firsts))
        todo = longer
    whole = [piece for pieces in done for piece in pieces]
    width = max((len(own) for own, _ in whole), default=0)
    filled = np.full((len(whole), width), -1, np.int32)
    for place, (own, _) in enumerate(whole):
        filled[place, : len(own)] = own
    offsets = np.cumsum([0, *(len(sentence) for sentence in sentences)])
    counts = np.cumsum([0, *(len(pieces) for pieces in done)])
    firsts_of = np.full(offsets[-1], -1, np.int64)
    for row, pieces in enumerate(done):
        for number, (_, firsts) in enumerate(pieces):
            for word, token in firsts.items():
                firsts_of[offsets[row] + word] = (counts[row] + number) * width + token
    return Tokens(filled, counts, firsts_of)
