"""Financial PhraseBank: sentences of financial news, negative, neutral or positive for an investor.

Malo et al., "Good Debt or Bad Debt: Detecting Semantic Orientations in Economic Texts", JASIST 2014; for
non-commercial use (CC BY-NC-SA 3.0). There are three classes, so splits share them and have other sentences.

    metacli train dataset=financial_phrasebank backbone=minilm paradigm=nearest_centroid
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from metacli.data.table import SPLITS, Description, split_items
from metacli.data.texts import Texts, described, texts_table
from metacli.errors import UserError

CLASSES = ("negative", "neutral", "positive")


class FinancialPhraseBank:
    """agreement: of so many per cent of the annotators at least · split_sizes: shares of every class."""

    def __init__(
        self,
        *,
        root: str,
        agreement: Literal[50, 66, 75, 100],
        split_sizes: Sequence[float],
        split_seed: int,
    ) -> None:
        self.root = root
        self.agreement = agreement
        self.split_sizes = split_sizes
        self.split_seed = split_seed

    def describe(self) -> Description:
        return described(self._table)

    def build(self) -> Texts:
        return self._table

    @cached_property
    def _table(self) -> Texts:
        lines = list(
            dict.fromkeys(self._lines())
        )  # a sentence that stands there twice would be in two splits
        texts, names = zip(*lines, strict=True)
        labels = np.array([CLASSES.index(name) for name in names])
        splits = dict.fromkeys(SPLITS, np.arange(len(CLASSES)))
        return texts_table(
            texts, labels.tolist(), CLASSES, splits, split_items(labels, self.split_sizes, self.split_seed)
        )

    def _lines(self) -> list[tuple[str, str]]:
        name = "Sentences_AllAgree.txt" if self.agreement == 100 else f"Sentences_{self.agreement}Agree.txt"
        file = Path(self.root) / name
        try:
            content = file.read_bytes()
        except OSError:
            raise UserError(
                f"dataset.root={self.root}: no {name} there",
                "fetch the FinancialPhraseBank-v1.0 of Malo et al. and name its folder: dataset.root=DIR",
            ) from None
        try:
            text = content.decode()
        except UnicodeDecodeError:  # as it was published
            text = content.decode("latin-1")
        pairs = [line.rpartition("@") for line in text.split("\n") if line.strip()]
        if not pairs or any(label.strip() not in CLASSES for _, _, label in pairs):
            raise UserError(f"dataset.root={file}: a line is not SENTENCE@LABEL", "fetch it again")
        return [(" ".join(sentence.split()), label.strip()) for sentence, _, label in pairs]
