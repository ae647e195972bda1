"""R2-D2: classify by ridge regression on the features, solved in closed form within each task.

Bertinetto, Henriques, Torr & Vedaldi, "Meta-learning with differentiable closed-form solvers", ICLR 2019. Their
W = Xᵀ(XXᵀ + λI)⁻¹Y of the support set; the logits of a query are α·zW. As in their code, both sets go through the
backbone in one batch while training, evaluation uses running statistics, and α starts at 10 on Omniglot. λ = exp(λ̃)
is learned with α, as in the paper (their code keeps it at 50 a support item). Ours: neither the bias that their code
fits beside W nor the paper's shift β of all logits, which a softmax does not see.

    metacli train paradigm=r2d2 episode.train.ways=20
"""

import math

import torch
from torch import Tensor, nn

from metacli.episode import Examples, State, TaskSpec
from metacli.heads.labels import one_hot
from metacli.heads.ridge import ridge_regression
from metacli.layers.passes import BatchNormMode
from metacli.paradigms.embedding import EmbeddingLearner


class R2D2(EmbeddingLearner):
    """ridge, scale: λ and α to begin with. State of a predictor: `weights` α·W, [T, D, W]."""

    def __init__(
        self, *, spec: TaskSpec, backbone: nn.Module, ridge: float, scale: float, bn_mode: BatchNormMode
    ) -> None:
        super().__init__(spec, backbone, bn_mode)
        self.log_ridge = nn.Parameter(torch.tensor(math.log(ridge)))
        self.scale = nn.Parameter(torch.tensor(scale))

    def fit(self, features: Tensor, support: Examples) -> State:
        targets = one_hot(support, features.dtype)  # [T, N, W]
        counted = features * targets.sum(2, keepdim=True)
        return {"weights": self.scale * ridge_regression(counted, targets, self.log_ridge.exp())}

    @staticmethod
    def answer(state: State, features: Tensor) -> Tensor:
        return features @ state["weights"]
