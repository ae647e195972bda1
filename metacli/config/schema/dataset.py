"""dataset: where items come from, how they are read, and how they are split."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from metacli.config.schema.values import (
    Amount,
    Count,
    File,
    Folder,
    Named,
    Natural,
    Node,
    Number,
    Range,
    Rate,
    Share,
    Side,
    Word,
)


def _rotations(value: Any) -> Any:
    """Earlier runs say true and false."""
    return {True: "classes", False: "none"}[value] if isinstance(value, bool) else value


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError("is no encoding that is known here; utf-8, latin-1, cp1252, gb18030 are") from None
    return name


Rotations = Annotated[Literal["classes", "episode", "none"], BeforeValidator(_rotations)]
OnError = Literal["raise", "skip"]


class Glyphs(Named):
    size: Side
    per_class: Count
    seed: Natural


class Omniglot(Named):
    root: Folder
    split: Literal["vinyals", "random"]
    rotations: Rotations
    size: Side
    download: bool
    split_sizes: list[Rate]
    split_seed: Natural
    on_error: OnError


class Augment(Node):
    flip: bool = False
    crop: Natural = 0
    colour: Share = 0.0


SplitBy = Literal["class", "item"]


class ImageFolder(Named):
    root: Folder
    csv: File | None
    size: Side
    mode: Literal["rgb", "gray"]
    split_by: SplitBy = "class"
    split: File  # seeded, folders, or a JSON file
    split_sizes: list[Rate]
    split_seed: Natural
    min_images: Count
    on_error: OnError
    augment: Augment = Field(default_factory=Augment)

    @model_validator(mode="after")
    def _crop_leaves_something(self) -> "ImageFolder":
        if self.augment.crop >= self.size:
            raise ValueError(f"augment.crop={self.augment.crop} should be less than size={self.size}")
        return self


class Digits(Named):
    split_sizes: list[Rate]
    split_seed: Natural


class Clinc150(Named):
    root: Folder
    version: Literal["full", "small", "imbalanced"]
    split_by: SplitBy
    split_sizes: list[Rate]
    split_seed: Natural


class FinancialPhraseBank(Named):
    root: Folder
    agreement: Literal[50, 66, 75, 100]
    split_sizes: list[Rate]
    split_seed: Natural


class TextColumns(Node):
    text: Word
    label: Word
    split: Word


class TextFiles(Named):
    root: Folder  # or a file
    hub: Word | None
    columns: TextColumns
    encoding: Word
    split_by: SplitBy
    split: File  # seeded, own, or a JSON file
    split_sizes: list[Rate]
    split_seed: Natural
    min_texts: Count


class Sinusoid(Named):
    amplitude: Range
    phase: Range
    x: Range
    noise: Amount


Column = Annotated[int, Field(ge=-1000, le=1000), Number]


class Limit(Node):
    """Sentences of each split at most; 0 for all."""

    train: Natural = 0
    val: Natural = 0
    test: Natural = 0


class Conll(Named):
    root: Folder
    train: Annotated[list[Word], Field(min_length=1)]
    val: list[Word]
    test: list[Word]
    separator: Word
    word: Column
    tag: Column
    comment: str
    scheme: Literal["io", "iob1", "bio2", "bioes", "bmes", "types"]
    encoding: Annotated[str, AfterValidator(_encoding)]
    tags: Literal["io", "bio"]
    foreign: Literal["drop", "mask"]
    split_by: Literal["item", "class", "domain"]
    unseen: bool
    split: Word
    split_sizes: list[Rate]
    split_seed: Natural
    limit: Limit = Field(default_factory=Limit)

    @model_validator(mode="after")
    def _two_columns(self) -> "Conll":
        if self.word == self.tag:
            raise ValueError(f"word={self.word} and tag={self.tag} are the same column")
        return self
