"""Nearest class mean, on features as they are, made unit vectors, or centred and made unit vectors.

Wang et al., "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot Learning", 2019: UN, L2N and CL2N,
whose centre is the mean feature of the meta-train classes. A class mean is not made a unit vector again.

    metacli train paradigm=frozen head=centroid head.transform=l2n
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Examples, State
from metacli.heads.base import BaseStatistics
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


class Centroid(nn.Module):
    """A head: logits are −‖z − c‖² or cos(z, c), of transformed features. State: `centroids` [T, W, D]."""

    def __init__(
        self,
        *,
        features: int,
        transform: Literal["none", "l2n", "cl2n"],
        distance: Literal["euclidean", "cosine"],
    ) -> None:
        super().__init__()
        self.transform = transform
        self.similarity = {"euclidean": negative_squared_distance, "cosine": cosine}[distance]
        if transform == "cl2n":
            self.base = BaseStatistics(classes=0, features=features, per_class=False)

    def fit(self, features: Tensor, support: Examples) -> State:
        return {"centroids": class_means(self._transformed(features), support)}

    def answer(self, state: State, features: Tensor) -> Tensor:
        return self.similarity(self._transformed(features), state["centroids"])

    def _transformed(self, features: Tensor) -> Tensor:
        if self.transform == "none":
            return features
        return F.normalize(features - self.base.mean if self.transform == "cl2n" else features, dim=-1)
