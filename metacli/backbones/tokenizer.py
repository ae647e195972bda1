"""Texts -> the tokens of a model, by the tokenizer that lies beside it: its tokenizer.json, which no code goes with."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from metacli.data.texts import Tokens
from metacli.errors import UserError
from metacli.files import digest
from metacli.pretrained.weights import located

if TYPE_CHECKING:
    from tokenizers import Encoding
    from tokenizers import Tokenizer as Fast


def tokenizer(*, model: str, max_length: int) -> "FastTokenizer":
    """model: a place as in `pretrained/weights.py`. Raises UserError where it has no fast tokenizer."""
    folder = located(model, "backbone.model")
    file = Path(folder or "") / "tokenizer.json"
    if folder is None or not file.exists():
        raise UserError(
            f"backbone.model={model}: no tokenizer.json there, which is what a fast tokenizer is kept in",
            f'AutoTokenizer.from_pretrained("{model}").save_pretrained(DIR) may make one; or choose another model',
        )
    return FastTokenizer(file, max_length)


@dataclass(frozen=True)
class FastTokenizer:
    """max_length: of a text, in tokens, with the special ones."""

    file: Path
    max_length: int

    @cached_property
    def fast(self) -> "Fast":
        from tokenizers import Tokenizer as Fast

        try:
            fast = Fast.from_file(str(self.file))
        except Exception as error:  # tokenizers raises nothing narrower
            raise UserError(f"{self.file}: no tokenizer: {error}", "fetch the model again") from error
        fast.no_padding()
        fast.enable_truncation(self.max_length)
        return fast

    @cached_property
    def fingerprint(self) -> str:
        return digest(self.fast.to_str().encode())

    def texts(self, texts: Sequence[str]) -> Tokens:
        found = self.fast.encode_batch_fast(list(texts))
        return Tokens(_padded([one.ids for one in found]), sum(bool(one.overflowing) for one in found))

    def words(self, sentences: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Token ids [N, L] int32 and, of each token, the place of its word in the sentence [N, L] int32.

        −1 is padding in both; a special token is of no word, −1. A word may have no token: what it is made of is not
        in the vocabulary, or it lies beyond `max_length`.
        """
        found: list[Encoding] = self.fast.encode_batch(
            [list(words) for words in sentences], is_pretokenized=True
        )
        places = [[-1 if word is None else word for word in one.word_ids] for one in found]
        return _padded([one.ids for one in found]), _padded(places)


def _padded(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """[N, L] int32, −1 after the end of a row."""
    filled = np.full((len(rows), max(map(len, rows), default=0)), -1, np.int32)
    for row, values in enumerate(rows):
        filled[row, : len(values)] = values
    return filled
