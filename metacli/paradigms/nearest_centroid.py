"""The baseline without training: nearest class mean on pixels, or on any backbone as it is.

metacli train paradigm=nearest_centroid
metacli train paradigm=nearest_centroid backbone=conv4 run.init_from=RUN
"""

from typing import Literal

from torch import Tensor, nn

from metacli.episode import Examples, Predictor, State, TaskSpec
from metacli.heads.centroid import class_means, cosine, negative_squared_distance
from metacli.layers import Passes
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner


class NearestCentroid(Learner):
    """State of a predictor: `centroids` [T, W, D], and what `bn_mode` needs of the support set."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        distance: Literal["euclidean", "cosine"],
        bn_mode: BatchNormMode,
    ) -> None:
        super().__init__(spec)
        self.backbone = backbone.requires_grad_(False)
        self.similarity = {"euclidean": negative_squared_distance, "cosine": cosine}[distance]
        self.passes = Passes(backbone, bn_mode)

    def adapt(self, support: Examples) -> Predictor:
        centroids = class_means(self.passes.support({}, support.inputs), support)
        return self.passes.predictor(self._answer, {"centroids": centroids}, support.inputs)

    def _answer(self, state: State, features: Tensor) -> Tensor:
        return self.similarity(features, state["centroids"])
