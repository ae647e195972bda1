"""ADML: MAML whose inner loop sees clean or attacked examples, and whose outer loop sees the other kind.

Yin, Tang, Xu & Wang, "Adversarial Meta-Learning", 2018. Of each task two weights are adapted from the same start, one
to its support set as it is and one to the attacked one; the queries as they are judge the latter, attacked queries
the former. Both sets are attacked at the start, before any inner step. The paper makes two outer updates, one after
the other; here one step descends the mean of both losses.

    metacli train paradigm=adml attack.epsilon=0.1
"""

import torch
from torch import Tensor

from metacli.attacks.adversary import loss_of, starts, undisturbed, with_x
from metacli.attacks.attack import Attack
from metacli.attacks.space import space_of
from metacli.episode import Episode, Examples, Predictor, State
from metacli.learner import Learner
from metacli.paradigms.inner_loop import InnerLoop


class ADML(Learner):
    """As MAML; `attack` is what both sets are put to in training, with random starts by `seed`."""

    def __init__(self, *, inner: InnerLoop, inner_lr: float, attack: Attack, seed: int) -> None:
        super().__init__(inner.spec)
        self.inner = inner
        self.network = inner.network
        self.inner_lr = inner_lr
        self.attack = attack
        self.seed = seed

    def adapt(self, support: Examples) -> Predictor:
        return self.inner.adapt(support, self._step)

    def meta_loss(self, episode: Episode) -> Tensor:
        support, query = episode.support, episode.query
        with undisturbed(self), torch.no_grad():
            start = self.inner.predictor(self.inner.start(support), support)
        attacked_support = self._attacked(start, support, episode.index, "support")
        attacked_query = self._attacked(start, query, episode.index, "query")
        crossed = self.query_loss(self.adapt(attacked_support), query)
        return (crossed + self.query_loss(self.adapt(support), attacked_query)) / 2

    def _attacked(self, start: Predictor, examples: Examples, index: Tensor, what: str) -> Examples:
        with undisturbed(self):
            space = space_of(self, examples)
            loss, noise = loss_of(start, examples, self, space), starts(space.x, index, self.seed, what)
            return with_x(examples, space.inputs(self.attack.to_train_on(loss, space, noise)[-1]))

    def _step(self, step: int, weights: State, gradients: State) -> State:
        return {name: weight - self.inner_lr * gradients[name] for name, weight in weights.items()}
