"""A recurrent network that reads an image row by row: 28 steps of 28 values, all channels of a row together.

metacli train backbone=rnn backbone.cell=lstm backbone.width=128
"""

import itertools
from typing import Literal

from torch import Tensor, nn

from metacli.layers import Recurrent
from metacli.layers.norm import NormKind
from metacli.layers.recurrent import Cell

Read = Literal["last", "mean"]


class RNN(nn.Module):
    """x [T, N, C, H, W] -> [T, N, D], the last hidden state of the last layer, or the mean over all rows."""

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        cell: Cell,
        width: int,
        depth: int,
        read: Read,
        norm: NormKind,
    ) -> None:
        super().__init__()
        channels, _, columns = shape
        sizes = [channels * columns] + [width] * depth
        self.read = read
        self.blocks = nn.Sequential(
            *(
                Recurrent(inputs, outputs, cell=cell, norm=norm)
                for inputs, outputs in itertools.pairwise(sizes)
            )
        )
        self.features = width

    def forward(self, x: Tensor) -> Tensor:
        states = self.blocks(x.transpose(2, 3).flatten(3))  # [T, N, H, C·W] -> [T, N, H, D]
        return states[:, :, -1] if self.read == "last" else states.mean(2)
