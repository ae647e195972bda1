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

from metacli.episode import Examples, Predictor, State, TaskSpec
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner
from metacli.paradigms.inner_loop import InnerLoop, LossReduction, Order, with_head


class MetaSGD(Learner):
    """inner_initial_lr: [low, high] of the rates to begin with. `rates` are in the order of `inner.adapted`."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        features: int,
        inner_initial_lr: Sequence[float],
        inner_steps: int,
        inner_eval_steps: int,
        inner_loss_reduction: LossReduction,
        order: Order,
        moves_inner: Sequence[str],
        moves_outer: Sequence[str],
        bn_mode: BatchNormMode,
    ) -> None:
        super().__init__(spec)
        self.network = with_head(backbone, features, spec.outputs, moves_outer)
        self.inner_steps = inner_steps
        self.inner_eval_steps = inner_eval_steps
        self.order = order
        self.inner = InnerLoop(
            self.network, spec.kind, moves=moves_inner, bn_mode=bn_mode, loss_reduction=inner_loss_reduction
        )
        low, high = inner_initial_lr
        weights = dict(self.network.named_parameters())
        self.rates = nn.ParameterList(
            torch.empty_like(weights[name]).uniform_(low, high) for name in self.inner.adapted
        )

    def adapt(self, support: Examples) -> Predictor:
        steps = self.inner_steps if self.training else self.inner_eval_steps
        return self.inner.adapt(support, self._step, steps=steps, order=self.order)

    def _step(self, step: int, weights: State, gradients: State) -> State:
        rates = zip(weights, self.rates, strict=True)
        return {name: weights[name] - rate * gradients[name] for name, rate in rates}
