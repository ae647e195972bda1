"""Column files: a line a word, its tag in another column, an empty line between sentences (CoNLL shared tasks)."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from metacli.data.tag_schemes import Scheme, entities, split_tag
from metacli.errors import UserError
from metacli.letters import brief

_DOCUMENT = "-DOCSTART-"  # a line of CoNLL-2003 that begins a document and is no word
_SEPARATORS = {"tab": "\t", "space": " "}
_SPACE = re.compile("[ \t]+")


class Sentence(NamedTuple):
    """types: "" = O · starts: an entity begins at the word."""

    words: tuple[str, ...]
    types: tuple[str, ...]
    starts: tuple[bool, ...]


@dataclass(frozen=True)
class Columns:
    """The form of a file.

    separator: whitespace (any run of blanks and tabs), tab, space, or the text itself · word, tag: their columns from
    0, or from the end: −1 is the last · comment: lines that begin so are none, "" for none of them.
    """

    separator: str
    word: int
    tag: int
    comment: str
    scheme: Scheme
    encoding: str

    def read(self, path: Path, named: str) -> tuple[list[Sentence], int]:
        """The sentences of a file, and how many tags had to be mended.

        named: what names the file. Raises UserError, which says that and the line.
        """
        sentences, mended = [], 0
        words: list[str] = []
        tags: list[tuple[str, str]] = []
        width = 0
        for number, line in enumerate([*self._text(path, named).split("\n"), ""], 1):
            line = line.removesuffix("\r")
            if line.strip() and not (self.comment and line.startswith(self.comment)):
                parts = self._parts(line)
                width = width or len(parts)
                word, tag = self._word_and_tag(parts, width, f"{named}, line {number}")
                if word != _DOCUMENT:
                    words.append(word)
                    tags.append(tag)
            elif not line.strip() and words:
                found = entities(tags, self.scheme)
                sentences.append(Sentence(tuple(words), found.types, found.starts))
                mended += found.mended
                words, tags = [], []
        return sentences, mended

    def _text(self, path: Path, named: str) -> str:
        try:
            content = path.read_bytes()
        except OSError as error:
            raise UserError(
                f"{named}: cannot read {path}: {error.strerror}", "check the path and its permissions"
            ) from error
        try:
            return content.decode(self.encoding).removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise UserError(
                f"{named}, line {line}: byte 0x{content[error.start]:02x} is not {self.encoding.upper()}",
                "name what the file is in: dataset.encoding=latin-1, cp1252, gb18030, ...",
            ) from error

    def _parts(self, line: str) -> list[str]:
        if self.separator == "whitespace":
            return _SPACE.split(line.strip(" \t"))
        return line.split(_SEPARATORS.get(self.separator, self.separator))

    def _word_and_tag(self, parts: list[str], width: int, where: str) -> tuple[str, tuple[str, str]]:
        count = len(parts)
        lacking = [c for c in (self.word, self.tag) if not -count <= c < count]
        if count != width or lacking:
            others = f"the lines before have {width}" if count != width else f"none is column {lacking[0]}"
            raise UserError(
                f'{where}: {count} column{"s" * (count > 1)}, "{brief(" ".join(parts))}", and {others}',
                f"what parts columns is dataset.separator={self.separator}; dataset.word and dataset.tag are columns "
                "from 0, or from the end: -1; lines that begin with dataset.comment=TEXT are left out",
            )
        word, tag = parts[self.word].strip(" \t"), parts[self.tag].strip()
        if not word:
            raise UserError(f"{where}: its word is empty", f"dataset.word={self.word} is the words' column")
        try:
            return word, split_tag(tag, self.scheme)
        except ValueError as error:
            raise UserError(
                f"{where}: {brief(error)}",
                "see dataset.scheme (io, iob1, bio2, bioes, bmes, types) and dataset.tag, the tags' column",
            ) from error
