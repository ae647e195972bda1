"""MAML: learn an initialisation from which a few gradient steps solve a task.

Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017.
`order=first` detaches the inner gradients (FOMAML, same paper §5.2); `moves.inner=[head]` adapts the last layer
only (ANIL: Raghu et al., "Rapid Learning or Feature Reuse?", ICLR 2020). The paper does not adapt the
batch-norm parameters; here everything in `moves.inner` adapts. Its code sums the inner loss over classes, which
is `inner.loss_reduction=sum_over_k`: of the mean, our default, its 5-way inner rate of 0.4 is 2.0.

    metacli train paradigm=maml paradigm.inner.steps=5 paradigm.order=first
"""

from collections.abc import Sequence

from torch import nn

from metacli.episode import Examples, Predictor, State, TaskSpec
from metacli.layers.passes import BatchNormMode
from metacli.learner import Learner
from metacli.paradigms.inner_loop import InnerLoop, LossReduction, Order, with_head


class MAML(Learner):
    """inner_lr: step size on the support loss; inner_steps while training, inner_eval_steps at evaluation."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        features: int,
        inner_lr: float,
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
        self.inner_lr = inner_lr
        self.inner_steps = inner_steps
        self.inner_eval_steps = inner_eval_steps
        self.order = order
        self.inner = InnerLoop(
            self.network, spec.kind, moves=moves_inner, bn_mode=bn_mode, loss_reduction=inner_loss_reduction
        )

    def adapt(self, support: Examples) -> Predictor:
        steps = self.inner_steps if self.training else self.inner_eval_steps
        return self.inner.adapt(support, self._step, steps=steps, order=self.order)

    def _step(self, step: int, weights: State, gradients: State) -> State:
        return {name: weight.add(gradients[name], alpha=-self.inner_lr) for name, weight in weights.items()}
