"""Episodes from one split of tokenised texts."""

from collections.abc import Mapping

import torch
from torch import Tensor

from metacli.data.source import Source
from metacli.data.texts import Texts
from metacli.episode import Inputs
from metacli.files import digest


class TextSource(Source):
    """x [T, N, L] int64, −1 = padding: all texts are as long as the longest of the data set. A backbone leaves out what
    it has no need to compute."""

    what = "texts"

    def __init__(self, *, table: Texts, split: str, device: torch.device, tokens: Tensor) -> None:
        super().__init__(table=table, split=split, device=device)
        self.tokens = tokens

    @property
    def seen(self) -> Tensor:
        """By length, so that little padding is computed."""
        rows = super().seen
        lengths = (self.tokens[rows.to(self.tokens.device)] >= 0).sum(1).cpu()
        return rows[lengths.argsort(stable=True)]

    @property
    def fingerprint(self) -> str:
        return digest(self.table.fingerprint.encode(), self.tokens.cpu().numpy().data)

    def items(self, rows: Tensor) -> Inputs:
        return {"x": self.tokens[rows.to(self.tokens.device)].long()}


def sources(table: Texts, device: torch.device) -> Mapping[str, TextSource]:
    """One for each split; they share one tensor of tokens."""
    tokens = torch.from_numpy(table.tokens).to(device)
    return {
        split: TextSource(table=table, split=split, device=device, tokens=tokens) for split in table.splits
    }
