"""Meta-Baseline: a pretrained backbone, meta-trained to classify by the scaled cosine to each class mean.

Chen, Liu, Xu, Darrell & Wang, "Meta-Baseline: Exploring Simple Meta-Learning for Few-Shot Learning", ICCV 2021. The
logits are τ·cos(z, c): c is the mean of features as they are, and τ, which is learned, begins at 10. In the paper both
stages train a ResNet-12 by SGD.

    metacli train paradigm=meta_baseline
"""

import torch
from torch import Tensor, nn

from metacli.episode import Examples, State, TaskSpec
from metacli.heads.centroid import class_means, cosine
from metacli.layers.passes import BatchNormMode
from metacli.paradigms.embedding import EmbeddingLearner


class MetaBaseline(EmbeddingLearner):
    """scale: τ to begin with. State of a predictor: `centroids` [T, W, D] and `scale` [T]."""

    def __init__(self, *, spec: TaskSpec, backbone: nn.Module, scale: float, bn_mode: BatchNormMode) -> None:
        super().__init__(spec, backbone, bn_mode)
        self.scale = nn.Parameter(torch.tensor(scale))

    def fit(self, features: Tensor, support: Examples) -> State:
        return {"centroids": class_means(features, support), "scale": self.scale.expand(len(features))}

    @staticmethod
    def answer(state: State, features: Tensor) -> Tensor:
        return state["scale"].view(-1, 1, 1) * cosine(features, state["centroids"])
