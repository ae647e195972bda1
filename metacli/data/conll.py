"""Column files of tagged words (CoNLL): any separator and column order, six tag schemes, three kinds of split.

metacli train dataset=conll dataset.root=mine/ paradigm=nnshot
metacli train dataset=crossner paradigm=structshot
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal, NamedTuple

from metacli.data.class_split import split_of_json
from metacli.data.columns import Columns, Sentence
from metacli.data.table import SPLITS, Description, leaked, split_classes
from metacli.data.tag_schemes import Scheme
from metacli.data.tagged import Foreign, TaggedTable, Tags
from metacli.errors import UserError, suggest

if TYPE_CHECKING:
    import numpy as np

    Splits = Mapping[str, np.ndarray]


class _Listing(NamedTuple):
    sentences: list[Sentence]
    given: list[str]  # the split whose file each sentence is from
    mended: int


class Conll:
    """`train`, `val` and `test` name files below `root`, or patterns such as politics/*.txt.

    split_by: "item": the splits are those files; where val or test names none, it is given some sentences of train, by
    the shares of `split_sizes` and by `split_seed`. "domain": those files, of other corpora.
    "class": all sentences are one pool and the types are split, by `split_sizes` and `split_seed`, or by a JSON file
    that `split` names: {"train": [type, …], "val": […], "test": […]}. A sentence goes with its types; one of several
    splits' types with most of its entities if foreign types are masked, else nowhere.

    unseen: of val and test only the types that train lacks, and of test those that val lacks.

    limit: of a split only so many of its sentences, drawn by `split_seed`; 0 for all.
    """

    def __init__(
        self,
        *,
        root: str,
        train: Sequence[str],
        val: Sequence[str],
        test: Sequence[str],
        separator: str,
        word: int,
        tag: int,
        comment: str,
        scheme: Scheme,
        encoding: str,
        tags: Tags,
        foreign: Foreign,
        split_by: Literal["item", "class", "domain"],
        unseen: bool,
        split: str,
        split_sizes: Sequence[float],
        split_seed: int,
        limit_train: int,
        limit_val: int,
        limit_test: int,
    ) -> None:
        self.root = Path(root)
        self.files = dict(zip(SPLITS, (train, val, test), strict=True))
        self.columns = Columns(separator, word, tag, comment, scheme, encoding)
        self.tags = tags
        self.foreign = foreign
        self.split_by = split_by
        self.unseen = unseen
        self.split = split
        self.split_sizes = split_sizes
        self.split_seed = split_seed
        self.limits = dict(zip(SPLITS, (limit_train, limit_val, limit_test), strict=True))

    def describe(self) -> Description:
        """Entities of each type in each split. Raises UserError where files are missing or not as they should be."""
        table = self.build()
        counts = {
            split: {
                table.classes[c]: int(table.mentions[table.rows[split], c].sum())
                for c in table.splits[split].tolist()
            }
            for split in SPLITS
        }
        return Description(shape=(), splits=counts, kind="tag")

    def build(self) -> TaggedTable:
        import numpy as np

        listing = self._read()
        sentences = listing.sentences
        classes = tuple(sorted({kind for sentence in sentences for kind in sentence.types if kind}))
        self._check_columns(sentences, classes)
        ids = {name: place for place, name in enumerate(classes)} | {"": -1}
        types = np.array([ids[kind] for sentence in sentences for kind in sentence.types], np.int64)
        starts = np.array([start for sentence in sentences for start in sentence.starts], np.bool_)
        if self.tags == "io":  # which cannot tell where one entity ends and another of its type begins
            firsts = np.cumsum([0, *(len(sentence.words) for sentence in sentences)])[:-1]
            starts = types != np.concatenate([[-1], types[:-1]])
            starts[firsts] = True
            starts &= types >= 0
        whole = TaggedTable(
            words=tuple(sentence.words for sentence in sentences),
            types=types,
            starts=starts,
            classes=classes,
            splits={},
            rows={},
            tags=self.tags,
            foreign=self.foreign,
            notes=self._notes(listing),
        )
        by = self._by_class if self.split_by == "class" else self._by_file
        splits, rows = by(whole, listing)
        leaks = leaked("sentences", [" ".join(words) for words in whole.words], rows)
        return replace(whole, splits=splits, rows=rows, notes=whole.notes + leaks)

    def _read(self) -> _Listing:
        if self.split != "seeded" and self.split_by != "class":
            raise UserError(
                f"dataset.split={self.split}: a list of types cannot split sentences",
                "set dataset.split_by=class to split the types by it, or dataset.split=seeded",
            )
        sentences: list[Sentence] = []
        given: list[str] = []
        mended = 0
        for split, patterns in self.files.items():
            for file in self._named(split, patterns):
                where = f"dataset.{split}={file.relative_to(self.root).as_posix()}"
                found, count = self.columns.read(file, where)
                sentences += found
                given += [split] * len(found)
                mended += count
        return _Listing(sentences, given, mended)

    def _check_columns(self, sentences: Sequence[Sentence], types: Sequence[str]) -> None:
        """What every line allows, and all of them together do not."""
        if not sentences:
            raise UserError(
                f"dataset.root={self.root}: its files hold no sentence",
                "a line is a word and its tag, and an empty line ends a sentence",
            )
        if not types:
            raise UserError(
                f"dataset.root={self.root}: every word of its {len(sentences)} sentences is O, and none of an entity",
                "mark some, or name another column of tags: dataset.tag=NUMBER",
            )
        if self.columns.scheme == "types" and all(name[0] in "BIESM" and name[1:2] == "-" for name in types):
            raise UserError(
                f"dataset.scheme=types: every type has a prefix, as {types[0]} has",
                "tags that are written so are dataset.scheme=bio2, io, iob1, bioes or bmes",
            )
        if all(map(_counts_up, sentences)) and any(len(sentence.words) > 1 for sentence in sentences):
            raise UserError(
                f"dataset.word={self.columns.word}: that column numbers the words of every sentence",
                "say which one holds them: dataset.word=1, or from the end: dataset.word=-2",
            )

    def _named(self, split: str, patterns: Sequence[str]) -> Iterator[Path]:
        for pattern in patterns:
            if not pattern or PurePath(pattern).is_absolute() or ".." in PurePath(pattern).parts:
                raise UserError(
                    f"dataset.{split}={pattern}: a pattern of files below dataset.root={self.root} is wanted",
                    f"name a folder above all of them, dataset.root=DIR, and write dataset.{split} as seen from there",
                )
            found = sorted(self.root.glob(pattern)) if self.root.is_dir() else []
            if not found:
                known = [path.name for path in self.root.iterdir()] if self.root.is_dir() else []
                raise UserError(
                    f"dataset.{split}={pattern}: no such file in dataset.root={self.root}",
                    suggest(pattern, known)
                    if known
                    else "name the folder that they are in: dataset.root=DIR",
                )
            yield from found

    def _by_file(self, table: TaggedTable, listing: _Listing) -> tuple[Splits, Splits]:
        import numpy as np

        given = np.array(listing.given)
        rows = {split: np.flatnonzero(given == split) for split in SPLITS}
        lacking = [split for split in ("val", "test") if self.split_by == "item" and not self.files[split]]
        if lacking:
            rows |= self._shared_out(rows["train"], ["train", *lacking])
        if poor := [split for split in SPLITS if not len(rows[split])]:
            raise UserError(
                f"dataset.{poor[0]}: no sentence for {' and '.join(poor)}",
                "name files for each of train, val and test; dataset.split_by=item splits those of train alone",
            )
        drawn = self._drawn(rows)
        splits: dict[str, np.ndarray] = {}
        for split in SPLITS:
            occurring = np.flatnonzero(table.mentions[drawn[split]].any(0))
            before = [ids for ids in splits.values() if self.unseen]
            splits[split] = np.setdiff1d(occurring, np.concatenate([occurring[:0], *before]))
        return splits, drawn

    def _shared_out(self, rows: np.ndarray, splits: Sequence[str]) -> Splits:
        """Sentences to some splits, by the shares of `split_sizes`."""
        import numpy as np

        if len(self.split_sizes) != 3:
            raise UserError(
                f"dataset.split_sizes={list(self.split_sizes)}: three shares are wanted",
                "train, val and test: [0.6, 0.2, 0.2]",
            )
        shares = [size for split, size in zip(SPLITS, self.split_sizes, strict=True) if split in splits]
        order = rows[np.random.Generator(np.random.PCG64(self.split_seed)).permutation(len(rows))]
        ends = np.rint(np.cumsum(shares) / sum(shares) * len(rows)).astype(int)
        parts = np.split(order, ends[:-1])
        return {split: np.sort(part) for split, part in zip(splits, parts, strict=True)}

    def _by_class(self, table: TaggedTable, listing: _Listing) -> tuple[Splits, Splits]:
        import numpy as np

        if self.split == "seeded":
            splits = split_classes(table.classes, self.split_sizes, self.split_seed, "types")
        else:
            members = split_of_json(self.root / self.split, table.classes)
            splits = {
                split: np.array(
                    [i for i, name in enumerate(table.classes) if members[name] == split], np.int64
                )
                for split in SPLITS
            }
        inside = np.stack([table.mentions[:, splits[split]].sum(1) for split in SPLITS])  # [3, R]
        most = inside.argmax(0)
        usable = inside.any(0) if self.foreign == "mask" else (inside > 0).sum(0) == 1
        rows = {split: np.flatnonzero(usable & (most == place)) for place, split in enumerate(SPLITS)}
        return splits, self._drawn(rows)

    def _drawn(self, rows: Splits) -> Splits:
        """Of each split no more than its limit; what is drawn depends on no other split."""
        import numpy as np

        def drawn(place: int, split: str) -> np.ndarray:
            all_of_it, limit = rows[split], self.limits[split]
            if not 0 < limit < len(all_of_it):
                return all_of_it
            random = np.random.Generator(np.random.PCG64([self.split_seed, place]))
            return np.sort(random.choice(all_of_it, limit, replace=False))

        return {split: drawn(place, split) for place, split in enumerate(SPLITS)}

    def _notes(self, listing: _Listing) -> tuple[str, ...]:
        if not listing.mended:
            return ()
        return (
            f"{listing.mended} tags go on with an entity that there is not, and begin one "
            f"(dataset.scheme={self.columns.scheme})",
        )


def _counts_up(sentence: Sentence) -> bool:
    """Whether its words are numbers, each one more than that before."""
    first = sentence.words[0]
    if not first.isdecimal():
        return False
    return sentence.words == tuple(str(int(first) + place) for place in range(len(sentence.words)))
