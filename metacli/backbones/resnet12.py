"""ResNet-12, the field's larger backbone (Oreshkin et al. 2018; widths of Lee et al., "MetaOptNet", CVPR 2019).

Blocks of three 3×3 convolutions beside a 1×1 shortcut, LeakyReLU(0.1), 2×2 max-pool; then the mean over the last
map. The other usual widths are [64,128,256,512]. Without DropBlock, which MetaOptNet trains with.

    metacli train backbone=resnet12 dataset=imagefolder dataset.root=photos/ paradigm=protonet
"""

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from metacli.layers import Conv2d, channels_last, conv_norm, max_pool, normalisation
from metacli.layers.norm import NormKind

SLOPE = 0.1  # of the leaky ReLU below zero


class ResNet12(nn.Module):
    """x [T, N, C, H, W] -> [T, N, D]. shape: (C, H, W) of an image; widths: channels of each block."""

    def __init__(self, *, shape: tuple[int, int, int], widths: Sequence[int], norm: NormKind) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            Block(inputs, outputs, norm=norm) for inputs, outputs in itertools.pairwise([shape[0], *widths])
        )
        self.features = widths[-1]

    def forward(self, x: Tensor) -> Tensor:
        x = channels_last(x)
        for block in self.blocks:
            x = block(x)
        return x.mean((2, 3))


class Block(nn.Module):
    """[T, N, H, W, C] -> [T, N, H/2, W/2, K]."""

    def __init__(self, inputs: int, outputs: int, *, norm: NormKind) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, kernel=3, norm=norm)
        self.second = ConvNorm(outputs, outputs, kernel=3, norm=norm)
        self.third = ConvNorm(outputs, outputs, kernel=3, norm=norm)
        self.shortcut = ConvNorm(inputs, outputs, kernel=1, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.first(x), SLOPE)
        y = F.leaky_relu(self.second(y), SLOPE)
        y = self.third(y) + self.shortcut(x)
        return max_pool(F.leaky_relu(y, SLOPE, inplace=True))  # nobody else needs the sum


class ConvNorm(nn.Module):
    """[T, N, H, W, C] -> [T, N, H, W, K]. Before batch norm a bias would cancel, so there is none."""

    def __init__(self, inputs: int, outputs: int, *, kernel: int, norm: NormKind) -> None:
        super().__init__()
        self.conv = Conv2d(
            inputs, outputs, kernel=kernel, stride=1, padding=kernel // 2, bias=norm != "batch"
        )
        self.norm = normalisation(norm, outputs, relu=False)
        nn.init.kaiming_normal_(
            self.conv.weight.permute(0, 3, 1, 2), mode="fan_out", nonlinearity="leaky_relu"
        )

    def forward(self, x: Tensor) -> Tensor:
        return conv_norm(self.conv, self.norm, x)
