"""The baseline without training: nearest class mean on pixels, or on any backbone as it is.

metacli train paradigm=nearest_centroid
metacli train paradigm=nearest_centroid backbone=conv4 run.init_from=RUN
"""

from typing import Literal

from torch import Tensor, nn

from metacli.episode import Examples, State, TaskSpec
from metacli.heads.centroid import class_means, cosine, negative_squared_distance
from metacli.layers.passes import BatchNormMode
from metacli.paradigms.embedding import EmbeddingLearner


class NearestCentroid(EmbeddingLearner):
    """State of a predictor: `centroids` [T, W, D], and what `bn_mode` needs of the support set."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        distance: Literal["euclidean", "cosine"],
        bn_mode: BatchNormMode,
    ) -> None:
        super().__init__(spec, backbone.requires_grad_(False), bn_mode)
        self.similarity = {"euclidean": negative_squared_distance, "cosine": cosine}[distance]

    def fit(self, features: Tensor, support: Examples) -> State:
        return {"centroids": class_means(features, support)}

    def answer(self, state: State, features: Tensor) -> Tensor:
        return self.similarity(features, state["centroids"])
