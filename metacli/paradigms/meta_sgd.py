"""Meta-SGD: learn an initialisation and, for every weight, the rate at which it moves in one step.

Li, Zhou, Chen & Li, "Meta-SGD: Learning to Learn Quickly for Few-Shot Learning", 2017. The paper's: θ' = θ − α∘∇L(θ)
with α of the shape of θ, learned with it by the same outer loop, no bound on its sign, and one step. From memory of
the paper, not checked: α starts uniform in [0.005, 0.1]. Ours: more steps are allowed, all at the same α; the loss is
a mean (`inner.loss_reduction`).

    metacli train paradigm=meta_sgd
"""

from collections.abc import Sequence

import torch
from torch import nn

from metacli.episode import Examples, Predictor, State
from metacli.learner import Learner
from metacli.paradigms.inner_loop import InnerLoop


class MetaSGD(Learner):
    """inner_initial_lr: [low, high] of the rates to begin with. `rates` are in the order of `inner.adapted`."""

    def __init__(self, *, inner: InnerLoop, inner_initial_lr: Sequence[float]) -> None:
        super().__init__(inner.spec)
        self.inner = inner
        self.network = inner.network
        low, high = inner_initial_lr
        self.rates = nn.ParameterList(
            torch.empty_like(weight).uniform_(low, high) for weight in inner.own().values()
        )

    def adapt(self, support: Examples) -> Predictor:
        return self.inner.adapt(support, self._step)

    def _step(self, step: int, weights: State, gradients: State) -> State:
        rates = zip(weights, self.rates, strict=True)
        return {name: weights[name] - rate * gradients[name] for name, rate in rates}
