"""Prototypical networks: classify by the squared distance to each class's mean feature.

Snell, Swersky & Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017. As in the authors' code,
training runs support and queries through the backbone in one batch, and evaluation uses running statistics.

    metacli train paradigm=protonet episode.train.ways=20
"""

from torch import Tensor, nn

from metacli.episode import Episode, Examples, Predictor, State, TaskSpec
from metacli.heads.centroid import class_means, negative_squared_distance
from metacli.layers import Passes
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner
from metacli.objectives import objective


class ProtoNet(Learner):
    """State of a predictor: `prototypes` [T, W, D], and what `bn_mode` needs of the support set."""

    def __init__(self, *, spec: TaskSpec, backbone: nn.Module, bn_mode: BatchNormMode) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.passes = Passes(backbone, bn_mode)

    def adapt(self, support: Examples) -> Predictor:
        prototypes = class_means(self.passes.support({}, support.inputs), support)
        return self.passes.predictor(self._answer, {"prototypes": prototypes}, support.inputs)

    def meta_loss(self, episode: Episode) -> Tensor:
        """With `bn_mode=running` both sets go through in one batch, whose statistics are collected."""
        support, query = self.passes.both(episode.support.inputs, episode.query.inputs)
        logits = self._answer({"prototypes": class_means(support, episode.support)}, query)
        return objective(self.spec.kind)(logits, episode.query)

    @staticmethod
    def _answer(state: State, features: Tensor) -> Tensor:
        return negative_squared_distance(features, state["prototypes"])
