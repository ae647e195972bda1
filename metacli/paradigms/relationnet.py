"""Relation networks: a network learns how alike a query's map and a class's map are.

Sung, Yang, Zhang, Xiang, Torr & Hospedales, "Learning to Compare: Relation Network for Few-Shot Learning", CVPR 2018,
in the form of their code for Omniglot: the maps of a class's support images are added up and stand beside that of a
query, two convolution blocks and two linear layers follow, and the score, a sigmoid, is held against 1 for the right
class and 0 for others by squared error. Batch norm takes the statistics of each pass, at evaluation too, so that it is
transductive. Ours: the backbone begins as any other does, a map of less than 2×2 is not pooled, and outputs are
logarithms of scores, so that a report's confidence is the share of a class in the sum of all scores.

    metacli train paradigm=relationnet experiment=omniglot/relationnet_5w1s
"""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Episode, Examples, Predictor, State, TaskSpec
from metacli.heads.labels import one_hot
from metacli.layers import BatchNorm, Conv2d, Linear, Passes, max_pool
from metacli.paradigms.embedding import EmbeddingLearner


class RelationNet(EmbeddingLearner):
    """map_shape: (H, W, C) of what the backbone hands out, flat · width, hidden: of the Relation.

    State of a predictor: `maps` [T, W, H·W·C], the sum over the support images of each class.
    """

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        map_shape: tuple[int, int, int],
        width: int,
        hidden: int,
        bn_mode: Literal["batch", "running"],
    ) -> None:
        super().__init__(spec, backbone, bn_mode)
        self.map_shape = map_shape
        self.relation = Relation(map_shape, width=width, hidden=hidden)
        Passes(self.relation, bn_mode)  # whose batch norms thus know where their statistics come from

    def query_loss(self, predictor: Predictor, query: Examples) -> Tensor:
        return squared_error_of_scores(predictor(query.inputs), query)

    def loss(self, state: State, features: Tensor, episode: Episode) -> Tensor:
        return squared_error_of_scores(self.answer(state, features), episode.query)

    @staticmethod
    def fit(features: Tensor, support: Examples) -> State:
        return {"maps": one_hot(support, features.dtype).transpose(1, 2) @ features}

    def answer(self, state: State, features: Tensor) -> Tensor:
        classes, queries = (maps.unflatten(2, self.map_shape) for maps in (state["maps"], features))
        return F.logsigmoid(self.relation(classes, queries))


class Relation(nn.Module):
    """How alike maps are: [T, W, H, W, C] of classes and [T, Q, H, W, C] of queries -> [T, Q, W].

    width: channels of its convolutions · hidden: units between its linear layers.
    """

    def __init__(self, map_shape: tuple[int, int, int], *, width: int, hidden: int) -> None:
        super().__init__()
        height, columns, channels = map_shape
        # A convolution of two maps beside each other is the sum of one of each, which costs less than all the pairs.
        self.of_class, self.of_query, self.second = (
            Conv2d(inputs, width, kernel=3, stride=1, padding=1, bias=False)
            for inputs in (channels, channels, width)
        )
        self.first_norm, self.second_norm = BatchNorm(width, relu=True), BatchNorm(width, relu=True)
        for _ in range(2):
            height, columns = (side // 2 if min(height, columns) > 1 else side for side in (height, columns))
        self.hidden, self.score = Linear(width * height * columns, hidden), Linear(hidden, 1)
        for convolution in (self.of_class, self.of_query, self.second):
            nn.init.normal_(convolution.weight, std=(2 / (3 * 3 * width)) ** 0.5)
        for linear in (self.hidden, self.score):
            assert linear.bias is not None
            nn.init.normal_(linear.weight, std=0.01)
            nn.init.ones_(linear.bias)

    def forward(self, classes: Tensor, queries: Tensor) -> Tensor:
        x = self.of_query(queries).unsqueeze(2) + self.of_class(classes).unsqueeze(1)  # [T, Q, W, H, W, C]
        x = pooled(self.first_norm(x.flatten(1, 2)))
        x = pooled(self.second_norm(self.second(x)))
        scores = self.score(self.hidden(x.flatten(2)).relu())  # [T, Q·W, 1]
        return scores.view(len(x), queries.shape[1], classes.shape[1])


def pooled(x: Tensor) -> Tensor:
    return max_pool(x) if min(x.shape[2:4]) > 1 else x


def squared_error_of_scores(outputs: Tensor, examples: Examples) -> Tensor:
    """Mean over classes and over the labels that count of (score − 1 or 0)². outputs: logarithms [T, N, W] -> [T]."""
    errors = (outputs.exp() - one_hot(examples, outputs.dtype)).square().mean(2)
    counts = (examples.mask & (examples.labels >= 0)).to(errors.dtype)  # [T, N]
    return (errors * counts).sum(1) / counts.sum(1)
