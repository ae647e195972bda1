"""MAML++: MAML with learned rates and norms of each inner step, and a query loss after each while training begins.

Antoniou, Edwards & Storkey, "How to train your MAML", ICLR 2019. As in the authors' code: a learned rate of every
weight tensor in every step; scales γ and shifts β of norms of every step, learned outside and not adapted, those of a
step also for the queries asked after it; over the first part of training a loss of the queries after every step, whose
weights move to the last one. They normalise by the batch at hand in every pass: their running statistics of each step
are collected and never used, so there are none here, and `bn_mode=running` is refused. Derivatives are of second order
throughout, as in the released configs; the paper begins with those of first order (`first_order`; a half of training,
from memory).

Ours: the weights of the losses move with every step, not once an epoch; the rate of the outer loop falls to 0, theirs
to a hundredth. They report an ensemble of the five best checkpoints; this is a single model.

    metacli train paradigm=maml_pp
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metacli.episode import Episode, Examples, Predictor, State
from metacli.learner import Learner
from metacli.paradigms.inner_loop import InnerLoop


class MAMLPlusPlus(Learner):
    """inner_initial_lr: of every tensor in every step, to begin with · multi_step, first_order: shares of training.

    `rates` [tensors, steps]; `later` [steps − 1, C] of each of `norms`: the first step has those of the network.
    """

    def __init__(
        self, *, inner: InnerLoop, inner_initial_lr: float, multi_step: float, first_order: float
    ) -> None:
        super().__init__(inner.spec)
        self.inner = inner
        self.network = inner.network
        self.multi_step = multi_step
        self.first_order = first_order
        self.done = 1.0  # share of training
        self.order = inner.order
        steps = inner.training_steps
        self.rates = nn.Parameter(torch.full((len(inner.adapted), steps), inner_initial_lr))
        named = dict(self.network.named_parameters())
        self.norms = inner.norms if steps > 1 else ()
        self.later = nn.ParameterList(
            nn.Parameter(named[name].detach().repeat(steps - 1, 1), named[name].requires_grad)
            for name in self.norms
        )

    def begin_step(self, step: int, steps: int, generator: torch.Generator) -> None:
        self.done = step / steps
        self.inner.order = "first" if self.done < self.first_order else self.order
        if step == 0:  # the network may have been pretrained
            named = dict(self.network.named_parameters())
            with torch.no_grad():
                for name, rows in zip(self.norms, self.later, strict=True):
                    rows.copy_(named[name])

    def adapt(self, support: Examples) -> Predictor:
        weights = self.inner.descend(support, self._step, beside=self._norms)
        return self._predictor(weights, self.inner.steps, support)

    def meta_loss(self, episode: Episode) -> Tensor:
        if not self.training or self.done >= self.multi_step:
            return super().meta_loss(episode)
        reached: list[State] = []

        def update(step: int, weights: State, gradients: State) -> State:
            reached.append(self._step(step, weights, gradients))
            return reached[-1]

        self.inner.descend(episode.support, update, beside=self._norms)
        predictors = [
            self._predictor(weights, step + 1, episode.support) for step, weights in enumerate(reached)
        ]
        losses = torch.stack([self.query_loss(predictor, episode.query) for predictor in predictors])
        return losses.new_tensor(loss_weights(len(reached), self.done / self.multi_step)) @ losses

    def _step(self, step: int, weights: State, gradients: State) -> State:
        rates = zip(weights, self.rates[:, step], strict=True)
        return {name: weights[name] - rate * gradients[name] for name, rate in rates}

    def _predictor(self, weights: State, steps: int, support: Examples) -> Predictor:
        """After so many steps."""
        tasks = len(support.labels)
        norms = {name: row.expand(tasks, -1) for name, row in self._norms(max(steps - 1, 0)).items()}
        return self.inner.predictor(weights | norms, support)

    def _norms(self, step: int) -> State:
        if step == 0:
            return {}
        return {name: rows[step - 1] for name, rows in zip(self.norms, self.later, strict=True)}


def loss_weights(steps: int, done: float) -> Sequence[float]:
    """Of the query loss after each inner step, when `done` of the part of training that counts them all has passed."""
    early = max((1 - done) / steps, 0.03 / steps)
    last = min((1 + done * (steps - 1)) / steps, 1 - (steps - 1) * 0.03 / steps)
    return [early] * (steps - 1) + [last]
