"""Nearest class mean."""

import torch.nn.functional as F
from torch import Tensor

from metacli.episode import Examples


def class_means(features: Tensor, examples: Examples) -> Tensor:
    """Mean feature of each class over the labels that count, nan for a class without any. [T, N, D] -> [T, W, D]"""
    counted = examples.mask & (examples.labels >= 0)
    one_hot = F.one_hot(examples.labels.clamp(min=0), examples.ways).to(features.dtype)
    one_hot = one_hot * counted.unsqueeze(-1)  # [T, N, W]
    return one_hot.transpose(1, 2) @ features / one_hot.sum(1).unsqueeze(-1)


def negative_squared_distance(features: Tensor, centroids: Tensor) -> Tensor:
    """−‖z − c‖², by matrix product. [T, N, D], [T, W, D] -> [T, N, W]"""
    cross = features @ centroids.transpose(1, 2)
    return 2 * cross - features.square().sum(-1, keepdim=True) - centroids.square().sum(-1).unsqueeze(1)


def cosine(features: Tensor, centroids: Tensor) -> Tensor:
    """cos(z, c). [T, N, D], [T, W, D] -> [T, N, W]"""
    return F.normalize(features, dim=-1) @ F.normalize(centroids, dim=-1).transpose(1, 2)
