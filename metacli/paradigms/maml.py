"""MAML: learn an initialisation from which a few gradient steps solve a task.

Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017.
`order=first` detaches the inner gradients (FOMAML, same paper §5.2); `moves.inner=[head]` adapts the last layer
only (ANIL: Raghu et al., "Rapid Learning or Feature Reuse?", ICLR 2020). The paper does not adapt the
batch-norm parameters; here everything in `moves.inner` adapts. Its code sums the inner loss over classes, which
is `inner.loss_reduction=sum_over_k`: of the mean, our default, its 5-way inner rate of 0.4 is 2.0.

    metacli train paradigm=maml paradigm.inner.steps=5 paradigm.order=first
"""

from metacli.episode import Examples, Predictor, State
from metacli.learner import Learner
from metacli.paradigms.inner_loop import InnerLoop


class MAML(Learner):
    """inner_lr: step size on the support loss."""

    def __init__(self, *, inner: InnerLoop, inner_lr: float) -> None:
        super().__init__(inner.spec)
        self.inner = inner
        self.network = inner.network
        self.inner_lr = inner_lr

    def adapt(self, support: Examples) -> Predictor:
        return self.inner.adapt(support, self._step)

    def _step(self, step: int, weights: State, gradients: State) -> State:
        return {name: weight.add(gradients[name], alpha=-self.inner_lr) for name, weight in weights.items()}
