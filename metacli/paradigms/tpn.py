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

from metacli.episode import Episode, Examples, State, TaskSpec
from metacli.heads.labels import one_hot
from metacli.heads.propagation import all_items, graph, spread
from metacli.layers import Linear
from metacli.layers.passes import BatchNormMode
from metacli.objectives import objective
from metacli.paradigms.embedding import EmbeddingLearner


class TPN(EmbeddingLearner):
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
        super().__init__(spec, backbone, bn_mode)
        self.scale = Linear(features, 1)
        assert self.scale.bias is not None
        nn.init.zeros_(self.scale.weight)
        nn.init.constant_(self.scale.bias, math.log(math.e - 1))  # whose softplus is 1
        self.neighbours = neighbours
        self.alpha = alpha

    def loss(self, state: State, features: Tensor, episode: Episode) -> Tensor:
        """Of all items."""
        return objective(self.spec.kind)(self._spread(state, features), episode.everything())

    @staticmethod
    def fit(features: Tensor, support: Examples) -> State:
        return {"features": features, "labels": one_hot(support, features.dtype)}

    def answer(self, state: State, features: Tensor) -> Tensor:
        return self._spread(state, features)[:, state["labels"].shape[1] :]

    def _spread(self, state: State, features: Tensor) -> Tensor:
        """Of all items, [T, N + Q, W]."""
        nodes, labels, counted = all_items(state, features)
        scaled = nodes / (F.softplus(self.scale(nodes)) * math.sqrt(nodes.shape[2]))
        return spread(labels, graph(scaled, counted, self.neighbours), self.alpha)
