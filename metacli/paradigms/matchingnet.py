"""Matching networks: a query has the labels of the support images, weighted by attention to them.

Vinyals, Blundell, Lillicrap, Kavukcuoglu & Wierstra, "Matching Networks for One Shot Learning", NeurIPS 2016:
p(y) = Σᵢ a(x, xᵢ) yᵢ, a the softmax of cosines. full_context=true embeds images in the context of the support set: a
bidirectional LSTM over the set, an LSTM with attention to it for each query. As in the code of Chen et al. ("A Closer
Look at Few-shot Classification", ICLR 2019), the loss is −log(p + 1e-6), both sets go through the backbone in one batch
while training, and the cosines have a scale, without which they hardly train; theirs is 100, behind a ReLU, ours is
learned. Ours: the LSTM reads the set in the order in which it comes, class by class, and also what does not count.

    metacli train paradigm=matchingnet paradigm.full_context=true
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Examples, State, TaskSpec
from metacli.heads.labels import one_hot
from metacli.layers import LSTMCell, Recurrent
from metacli.layers.passes import BatchNormMode
from metacli.paradigms.embedding import EmbeddingLearner

EPSILON = 1e-6


class MatchingNet(EmbeddingLearner):
    """scale: of the cosines, to begin with.

    State of a predictor: the support set's `features` [T, N, D] and `labels` [T, N, W], a row of zeros where an item
    does not count. Outputs are logarithms of probabilities.
    """

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        features: int,
        full_context: bool,
        scale: float,
        bn_mode: BatchNormMode,
    ) -> None:
        super().__init__(spec, backbone, bn_mode)
        self.scale = nn.Parameter(torch.tensor(scale))
        self.context = FullContext(features) if full_context else None

    def fit(self, features: Tensor, support: Examples) -> State:
        features = self.context.support(features) if self.context else features
        return {"features": features, "labels": one_hot(support, features.dtype)}

    def answer(self, state: State, features: Tensor) -> Tensor:
        counted = state["labels"].sum(2) > 0
        if self.context:
            features = self.context.query(features, state["features"], counted)
        cosines = F.normalize(features, dim=2) @ F.normalize(state["features"], dim=2).transpose(1, 2)
        return (attention(self.scale * cosines, counted) @ state["labels"] + EPSILON).log()


class FullContext(nn.Module):
    """Embeds features z in the context of a support set; g and f of the paper."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.forwards = Recurrent(features, features, cell="lstm", norm="none")
        self.backwards = Recurrent(features, features, cell="lstm", norm="none")
        self.cell = LSTMCell(2 * features, features)

    def support(self, z: Tensor) -> Tensor:
        """z plus what LSTMs say that read the set in either direction. [T, N, D] -> [T, N, D]"""
        sequence = z.unsqueeze(1)
        backwards = self.backwards(sequence.flip(2)).flip(2)
        return z + (self.forwards(sequence) + backwards).squeeze(1)

    def query(self, z: Tensor, support: Tensor, counted: Tensor) -> Tensor:
        """As many steps of attention as there are support items. z [T, Q, D], support [T, N, D] -> [T, Q, D]"""
        hidden, memory = z, torch.zeros_like(z)
        for _ in range(support.shape[1]):
            read = attention(hidden @ support.transpose(1, 2), counted) @ support
            hidden, memory = self.cell(torch.cat([z, read], 2), hidden, memory)
            hidden = hidden + z
        return hidden


def attention(scores: Tensor, counted: Tensor) -> Tensor:
    """Softmax over the support items that count. scores [T, Q, N], counted [T, N] -> [T, Q, N]"""
    return scores.masked_fill(~counted.unsqueeze(1), -torch.inf).softmax(2)
