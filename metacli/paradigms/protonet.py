"""Prototypical networks: classify by the squared distance to each class's mean feature.

Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017. As in the authors' code,
training runs support and queries through the backbone in one batch, and evaluation uses running statistics.

    metacli train paradigm=protonet episode.train.ways=20
"""

from torch import Tensor, nn

from metacli.episode import Examples, State, TaskSpec
from metacli.heads.centroid import class_means, negative_squared_distance
from metacli.layers.passes import BatchNormMode
from metacli.paradigms.embedding import EmbeddingLearner


class ProtoNet(EmbeddingLearner):
    """State of a predictor: `prototypes` [T, W, D], and what `bn_mode` needs of the support set."""

    def __init__(self, *, spec: TaskSpec, backbone: nn.Module, bn_mode: BatchNormMode) -> None:
        super().__init__(spec, backbone, bn_mode)

    def fit(self, features: Tensor, support: Examples) -> State:
        return {"prototypes": class_means(features, support)}

    @staticmethod
    def answer(state: State, features: Tensor) -> Tensor:
        return negative_squared_distance(features, state["prototypes"])
