"""Fully connected blocks on flattened inputs. MAML's Omniglot net without convolutions is 256-128-64-64.

metacli train backbone=mlp backbone.widths=[256,128,64,64]
"""

import itertools
import math
from collections.abc import Sequence

from torch import Tensor, nn

from metacli.layers import Linear, normalisation
from metacli.layers.norm import NormKind


class MLP(nn.Module):
    """x [T, N, ...] -> [T, N, D]. shape: of one item; widths: of each block."""

    def __init__(self, *, shape: tuple[int, ...], widths: Sequence[int], norm: NormKind) -> None:
        super().__init__()
        sizes = [math.prod(shape), *widths]
        self.blocks = nn.ModuleList(
            Block(inputs, outputs, norm=norm) for inputs, outputs in itertools.pairwise(sizes)
        )
        self.features = sizes[-1]

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(2)
        for block in self.blocks:
            x = block(x)
        return x


class Block(nn.Module):
    """[T, N, D] -> [T, N, K]: linear, norm, ReLU. Before batch norm a bias would cancel, so there is none."""

    def __init__(self, inputs: int, outputs: int, *, norm: NormKind) -> None:
        super().__init__()
        self.linear = Linear(inputs, outputs, bias=norm != "batch")
        self.norm = normalisation(norm, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x))
