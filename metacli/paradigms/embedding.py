"""What methods share that learn an embedding: a state is fitted to the features of a support set, and queries are
answered by their features and that state alone.
"""

from torch import Tensor, nn

from metacli.episode import Episode, Examples, Predictor, State, TaskSpec
from metacli.layers import Passes
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner
from metacli.objectives import objective


class EmbeddingLearner(Learner):
    """Subclasses implement `fit` and `answer`. State of a predictor: what `fit` gives, and what `bn_mode` needs."""

    def __init__(self, spec: TaskSpec, backbone: nn.Module, bn_mode: BatchNormMode) -> None:
        super().__init__(spec)
        self.backbone = backbone
        self.passes = Passes(backbone, bn_mode)

    def fit(self, features: Tensor, support: Examples) -> State:
        """features [T, N, D] of the support set -> tensors that begin with [T, ...]"""
        raise NotImplementedError

    def answer(self, state: State, features: Tensor) -> Tensor:
        """features [T, Q, D] of the queries -> logits [T, Q, W]"""
        raise NotImplementedError

    def loss(self, state: State, features: Tensor, episode: Episode) -> Tensor:
        """Of features of the queries, [T]."""
        return objective(self.spec.kind)(self.answer(state, features), episode.query)

    def adapt(self, support: Examples) -> Predictor:
        state = self.fit(self.passes.support({}, support.inputs), support)
        return self.passes.predictor(self.answer, state, support.inputs)

    def meta_loss(self, episode: Episode) -> Tensor:
        """With `bn_mode=running` both sets go through in one batch, whose statistics are collected."""
        support, query = self.passes.both(episode.support.inputs, episode.query.inputs)
        return self.loss(self.fit(support, episode.support), query, episode)
