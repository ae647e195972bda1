"""TPN: labels spread from the support set over a graph of all items of a task, on features trained for just that.

Liu, Lee, Park, Kim, Yang, Hwang & Yang, "Learning to Propagate Labels: Transductive Propagation Network for Few-Shot
Learning", ICLR 2019. The similarity of two items is exp(−½ mean((zᵢ/σᵢ − zⱼ/σⱼ)²)) over their features z, σ a learned
function of z; of the k nearest neighbours a graph is made (heads/propagation.py). As in the authors' code what has
spread is taken for logits, whose cross-entropy over support set and queries is descended, and both sets go through the
backbone in one batch. All queries of a task are answered together: transductive, whatever bn_mode. Ours: σ is the
softplus of a linear layer on the features, 1 to begin with, in place of a small convolutional network on their map.

    metacli train paradigm=tpn experiment=omniglot/tpn_5w1s
"""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Episode, Examples, Predictor, State, TaskSpec
from metacli.heads.labels import one_hot
from metacli.heads.propagation import all_items, graph, spread
from metacli.layers import Linear, Passes
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner
from metacli.objectives import objective


class TPN(Learner):
    """neighbours: of an item, itself included · alpha: how far labels spread.

    State of a predictor: the support set's `features` [T, N, D] and `labels` [T, N, W].
    """

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        features: int,
        neighbours: int,
        alpha: float,
        bn_mode: BatchNormMode,
    ) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.scale = Linear(features, 1)
        assert self.scale.bias is not None
        nn.init.zeros_(self.scale.weight)
        nn.init.constant_(self.scale.bias, math.log(math.e - 1))  # whose softplus is 1
        self.neighbours = neighbours
        self.alpha = alpha
        self.passes = Passes(backbone, bn_mode)

    def adapt(self, support: Examples) -> Predictor:
        state = self._fit(self.passes.support({}, support.inputs), support)
        return self.passes.predictor(self._answer, state, support.inputs)

    def meta_loss(self, episode: Episode) -> Tensor:
        """With `bn_mode=running` both sets go through in one batch, whose statistics are collected."""
        support, query = self.passes.both(episode.support.inputs, episode.query.inputs)
        logits = self._spread(self._fit(support, episode.support), query)
        return objective(self.spec.kind)(logits, episode.everything())

    @staticmethod
    def _fit(features: Tensor, support: Examples) -> State:
        return {"features": features, "labels": one_hot(support, features.dtype)}

    def _answer(self, state: State, features: Tensor) -> Tensor:
        return self._spread(state, features)[:, state["labels"].shape[1] :]

    def _spread(self, state: State, features: Tensor) -> Tensor:
        """Of all items, [T, N + Q, W]."""
        nodes, labels, counted = all_items(state, features)
        scaled = nodes / (F.softplus(self.scale(nodes)) * math.sqrt(nodes.shape[2]))
        return spread(labels, graph(scaled, counted, self.neighbours), self.alpha)
