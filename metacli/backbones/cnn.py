"""A small convolutional network of free form: convolutions, then the mean or all of the last map, then a layer.

metacli train backbone=cnn backbone.widths=[16,32,64] backbone.kernel=5
"""

import itertools
from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn

from metacli.backbones import conv4, mlp
from metacli.layers import channels_last
from metacli.layers.norm import NormKind

Read = Literal["flatten", "mean"]


class CNN(nn.Module):
    """x [T, N, C, H, W] -> [T, N, D].

    shape: (C, H, W) of an image · widths: channels of each convolution · kernel: odd, of all of them · downsample:
    how each halves the map · read: of the last map · hidden: units of a linear layer after it, 0 for none.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        widths: Sequence[int],
        kernel: int,
        downsample: conv4.Downsample,
        read: Read,
        hidden: int,
        norm: NormKind,
    ) -> None:
        super().__init__()
        channels, height, columns = shape
        self.convolutions = len(widths)
        self.read = read
        self.blocks = nn.ModuleList(
            conv4.Block(inputs, outputs, kernel=kernel, downsample=downsample, norm=norm)
            for inputs, outputs in itertools.pairwise([channels, *widths])
        )
        for _ in widths:
            height, columns = _after(height, downsample), _after(columns, downsample)
        self.features = widths[-1] * (height * columns if read == "flatten" else 1)
        if hidden:
            self.blocks.append(mlp.Block(self.features, hidden, norm=norm))
            self.features = hidden

    def forward(self, x: Tensor) -> Tensor:
        x = channels_last(x)
        for block in self.blocks[: self.convolutions]:
            x = block(x)
        x = x.flatten(2) if self.read == "flatten" else x.mean((2, 3))
        for block in self.blocks[self.convolutions :]:
            x = block(x)
        return x


def _after(side: int, downsample: conv4.Downsample) -> int:
    """Side of the map after one convolution block."""
    return {"max_pool": side // 2, "stride": (side + 1) // 2, "none": side}[downsample]
