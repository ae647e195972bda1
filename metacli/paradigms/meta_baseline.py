"""Meta-Baseline: a pretrained backbone, meta-trained to classify by the scaled cosine to each class mean.

Chen, Liu, Xu, Darrell & Wang, "Meta-Baseline: Exploring Simple Meta-Learning for Few-Shot Learning", ICCV 2021. The
logits are τ·cos(z, c): c is the mean of features as they are, and τ, which is learned, begins at 10. In the paper both
stages train a ResNet-12 by SGD.

    metacli train paradigm=meta_baseline
"""

import torch
from torch import Tensor, nn

from metacli.episode import Episode, Examples, Predictor, State, TaskSpec
from metacli.heads.centroid import class_means, cosine
from metacli.layers import Passes
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner
from metacli.objectives import objective


class MetaBaseline(Learner):
    """scale: τ to begin with. State of a predictor: `centroids` [T, W, D] and `scale` [T]."""

    def __init__(self, *, spec: TaskSpec, backbone: nn.Module, scale: float, bn_mode: BatchNormMode) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.scale = nn.Parameter(torch.tensor(scale))
        self.passes = Passes(backbone, bn_mode)

    def adapt(self, support: Examples) -> Predictor:
        state = self._fit(self.passes.support({}, support.inputs), support)
        return self.passes.predictor(self._answer, state, support.inputs)

    def meta_loss(self, episode: Episode) -> Tensor:
        """With `bn_mode=running` both sets go through in one batch, whose statistics are collected."""
        support, query = self.passes.both(episode.support.inputs, episode.query.inputs)
        logits = self._answer(self._fit(support, episode.support), query)
        return objective(self.spec.kind)(logits, episode.query)

    def _fit(self, features: Tensor, support: Examples) -> State:
        return {"centroids": class_means(features, support), "scale": self.scale.expand(len(features))}

    @staticmethod
    def _answer(state: State, features: Tensor) -> Tensor:
        return state["scale"].view(-1, 1, 1) * cosine(features, state["centroids"])
