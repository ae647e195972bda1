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

    shape: (C, H, W) of an image · widths: channels of each convolution · kernel: odd, of all of them · downsample,
    padding: of all, or a list with one for each · slope: of their ReLU below zero · read: of the last map · hidden:
    units of a linear layer after it, 0 for none · map_shape: (H, W, C) of the last map, where features are that as it
    is.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, int, int],
        widths: Sequence[int],
        kernel: int,
        downsample: conv4.Downsample | Sequence[conv4.Downsample],
        padding: conv4.Padding | Sequence[conv4.Padding],
        slope: float,
        read: Read,
        hidden: int,
        norm: NormKind,
    ) -> None:
        super().__init__()
        channels, height, columns = shape
        self.convolutions = len(widths)
        self.read = read
        self.blocks = nn.ModuleList()
        for (inputs, outputs), how, edge in zip(
            itertools.pairwise([channels, *widths]),
            [downsample] * len(widths) if isinstance(downsample, str) else downsample,
            [padding] * len(widths) if isinstance(padding, str) else padding,
            strict=True,
        ):
            self.blocks.append(
                conv4.Block(
                    inputs, outputs, kernel=kernel, downsample=how, norm=norm, padding=edge, slope=slope
                )
            )
            lost = kernel - 1 if edge == "valid" else 0
            height, columns = _after(height - lost, how), _after(columns - lost, how)
        self.features = widths[-1] * (height * columns if read == "flatten" else 1)
        self.map_shape = (height, columns, widths[-1]) if read == "flatten" and not hidden else ()
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
    """Side of the map after one convolution block, but for what an edge without padding takes."""
    return {"max_pool": side // 2, "stride": (side + 1) // 2, "none": side}[downsample]
