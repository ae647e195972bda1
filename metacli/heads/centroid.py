"""Nearest class mean."""

import torch.nn.functional as F
from torch import Tensor

from metacli.episode import Examples
from metacli.heads.labels import one_hot


def class_means(features: Tensor, examples: Examples) -> Tensor:
    """Mean feature of each class over the labels that count, nan for a class without any. [T, N, D] -> [T, W, D]"""
    labels = one_hot(examples, features.dtype)  # [T, N, W]
    return labels.transpose(1, 2) @ features / labels.sum(1).unsqueeze(-1)


def negative_squared_distance(features: Tensor, centroids: Tensor) -> Tensor:
    """−‖z − c‖², by matrix product. [T, N, D], [T, W, D] -> [T, N, W]"""
    cross = features @ centroids.transpose(1, 2)
    return 2 * cross - features.square().sum(-1, keepdim=True) - centroids.square().sum(-1).unsqueeze(1)


def cosine(features: Tensor, centroids: Tensor) -> Tensor:
    """cos(z, c). [T, N, D], [T, W, D] -> [T, N, W]"""
    return F.normalize(features, dim=-1) @ F.normalize(centroids, dim=-1).transpose(1, 2)
