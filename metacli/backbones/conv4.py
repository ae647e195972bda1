"""Four convolution blocks, the field's standard small backbone (Vinyals et al. 2016; Finn et al. 2017).

`downsample=max_pool`: 3×3 convolution, norm, ReLU, 2×2 max-pool, then flatten. `downsample=stride`: stride-2
convolutions without pooling, then the mean over the last map: MAML's Omniglot form.

    metacli train backbone=conv4 backbone.downsample=stride backbone.width=64
"""

import itertools
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from metacli.layers import Conv2d, channels_last, conv_norm, max_pool, normalisation
from metacli.layers.norm import NormKind

Downsample = Literal["max_pool", "stride", "none"]
Padding = Literal["same", "valid"]


class Conv4(nn.Module):
    """x [T, N, C, H, W] -> [T, N, D]. shape: (C, H, W) of an image; width: channels of each block.

    map_shape: (H, W, C) of the last map, where features are that as it is.
    """

    def __init__(
        self, *, shape: tuple[int, int, int], width: int, depth: int, downsample: Downsample, norm: NormKind
    ) -> None:
        super().__init__()
        channels, height, rows = shape
        self.downsample = downsample
        widths = [channels] + [width] * depth
        self.blocks = nn.ModuleList(
            Block(inputs, outputs, kernel=3, downsample=downsample, norm=norm)
            for inputs, outputs in itertools.pairwise(widths)
        )
        for _ in range(depth if downsample == "max_pool" else 0):
            height, rows = height // 2, rows // 2
        self.features = width * height * rows if downsample == "max_pool" else width
        self.map_shape = (height, rows, width) if downsample == "max_pool" else ()

    def forward(self, x: Tensor) -> Tensor:
        x = channels_last(x)
        for block in self.blocks:
            x = block(x)
        return x.flatten(2) if self.downsample == "max_pool" else x.mean((2, 3))


class Block(nn.Module):
    """[T, N, H, W, C] -> [T, N, H', W', K], half as high and wide unless `downsample` is "none".

    kernel: odd; with padding "valid" the map loses kernel − 1 rows and columns · slope: of the ReLU below zero.
    Before batch norm a bias would cancel, so there is none.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        kernel: int,
        downsample: Downsample,
        norm: NormKind,
        padding: Padding = "same",
        slope: float = 0.0,
    ) -> None:
        super().__init__()
        self.conv = Conv2d(
            inputs,
            outputs,
            kernel=kernel,
            stride=2 if downsample == "stride" else 1,
            padding=kernel // 2 if padding == "same" else 0,
            bias=norm != "batch",
        )
        self.norm = normalisation(norm, outputs, relu=not slope)
        self.pool = downsample == "max_pool"
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        x = conv_norm(self.conv, self.norm, x)
        x = max_pool(x) if self.pool else x
        return F.leaky_relu(x, self.slope) if self.slope else x
