"""Pooling and layout."""

import torch.nn.functional as F
from torch import Tensor

from metacli.kernels.layout import beside_channels, from_images, images


def max_pool(x: Tensor) -> Tensor:
    """[T, N, H, W, C] -> [T, N, H/2, W/2, C], odd edges dropped."""
    if beside_channels(x):
        return from_images(F.max_pool2d(images(x), 2), len(x))
    pooled = F.max_pool2d(x.flatten(0, 1).permute(0, 3, 1, 2), 2)
    return pooled.permute(0, 2, 3, 1).unflatten(0, x.shape[:2])


def channels_last(x: Tensor) -> Tensor:
    """Images [T, N, C, H, W] -> [T, N, H, W, C]; a view."""
    return x.permute(0, 1, 3, 4, 2)
