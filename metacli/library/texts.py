"""Texts as a user has them -> the tokens that a network was trained on."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from metacli.data.texts import Tokenizer
from metacli.errors import UserError
from metacli.letters import brief

Strings = str | Iterable[str]


@dataclass(frozen=True)
class TextReader:
    """One text, or several. What is longer than the tokenizer's `max_length` is read up to there."""

    tokenizer: Tokenizer
    device: torch.device
    what: ClassVar = "texts"

    def __call__(self, texts: Strings) -> Tensor:
        """[N, L] int64, −1 = padding, on the device. Raises UserError where one is empty or no text."""
        given = listed(texts)
        if not given:
            raise UserError("no texts", "give at least one")
        for number, text in enumerate(given):
            if not isinstance(text, str) or not text.strip():
                raise UserError(f"texts: number {number} is empty or no string", "leave it out")
        ids = self.tokenizer.texts([" ".join(text.split()) for text in given]).ids
        return torch.from_numpy(ids).long().to(self.device)


def listed(texts: Strings) -> list[str]:
    """Raises UserError where it is neither a string nor several."""
    if isinstance(texts, str):
        return [texts]
    if isinstance(texts, bytes) or not isinstance(texts, Iterable):
        raise UserError(f"texts: {brief(repr(texts))} is no text", "give a string, or a list of strings")
    return list(texts)
