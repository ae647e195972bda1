"""No network: the input itself, flattened. The floor that a learned backbone has to beat.

metacli train paradigm=nearest_centroid backbone=pixels
"""

import math

from torch import Tensor, nn


class Pixels(nn.Module):
    """x [T, N, ...] -> [T, N, D]."""

    def __init__(self, *, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.features = math.prod(shape)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2)
