"""Power spectrum: how much of each frequency an image holds, wherever it stands, then one linear layer.

metacli train backbone=spectrum
"""

import torch
from torch import Tensor, nn

from metacli.layers import Linear, normalisation
from metacli.layers.norm import NormKind


class Spectrum(nn.Module):
    """x [T, N, C, H, W] -> [T, N, width]. shape: (C, H, W) of an image."""

    def __init__(self, *, shape: tuple[int, int, int], width: int, norm: NormKind) -> None:
        super().__init__()
        channels, height, columns = shape
        frequencies = channels * height * (columns // 2 + 1)
        self.linear = Linear(frequencies, width, bias=norm != "batch")
        self.norm = normalisation(norm, width)
        self.features = width

    def forward(self, x: Tensor) -> Tensor:
        power = torch.view_as_real(torch.fft.rfft2(x, norm="ortho")).square().sum(-1)
        return self.norm(self.linear(power.log1p().flatten(2)))
