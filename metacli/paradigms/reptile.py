"""Reptile: move the initialisation towards where a few steps on each task lead.

Nichol, Achiam & Schulman, "On First-Order Meta-Learning Algorithms", 2018; as in the authors' code: minibatches that
cycle through the shuffled items of a task, Adam without momentum (β1 = 0) whose second moment is kept from task to
task in training and put back after every evaluation, and θ ← θ + ε·mean(φ − θ) with ε falling from 1 to 0. That is
gradient descent at rate ε on ½‖θ − φ‖², which is what `optimizer=sgd_linear` does with `meta_loss`. Training asks no
queries: all items of an episode are learned from, ten a class in the paper. `bn_mode=with_support_single` is the
paper's evaluation without transduction; with it, the paper puts one query a class in a batch.

Ours: the tasks of a meta-batch run side by side. Each starts from the second moment that the step before left, and
their squared gradients are added to it in task order; in the authors' code a task starts from that of the one before.
They are shuffled alike. The loss is a mean, theirs a sum over the minibatch: Adam sees no difference.

    metacli train paradigm=reptile paradigm.bn_mode=with_support_single
"""

from typing import Literal

import torch
from torch import Tensor

from metacli.episode import Episode, Examples, Predictor, State
from metacli.learner import Learner
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.task_optimizers import ARUBA, SGD, Adam, TaskOptimizer


class Reptile(Learner):
    """inner_batch: items of a step while training, inner_eval_batch else."""

    def __init__(
        self,
        *,
        inner: InnerLoop,
        inner_optimizer: Literal["adam", "sgd", "aruba"],
        inner_lr: float,
        inner_batch: int,
        inner_eval_batch: int,
    ) -> None:
        super().__init__(inner.spec)
        self.inner = inner
        self.network = inner.network
        self.inner_batch = inner_batch
        self.inner_eval_batch = inner_eval_batch
        rule: type[TaskOptimizer] = {"adam": Adam, "sgd": SGD, "aruba": ARUBA}[inner_optimizer]
        self.descent = rule(sum(weight.numel() for weight in inner.own().values()), inner_lr)
        self.shuffle = 0

    def begin_step(self, step: int, steps: int, generator: torch.Generator) -> None:
        self.shuffle = generator.initial_seed()

    def adapt(self, support: Examples) -> Predictor:
        with torch.no_grad():
            return self.inner.predictor(self._descend(support)[0], support)

    def meta_loss(self, episode: Episode) -> Tensor:
        """½‖θ − φ‖² of each task, φ constant, [T]."""
        with torch.no_grad():
            adapted, squares = self._descend(episode.everything())
        own = self.inner.own()
        apart = [own[name] - weight for name, weight in adapted.items()]
        moved = torch.cat([difference.flatten(1) for difference in apart], 1)  # [T, P]
        self.descent.keep(moved.detach(), squares, self.inner.steps)
        return moved.square().sum(1) / 2

    def _descend(self, items: Examples) -> tuple[State, Tensor]:
        """The adapted weights, and what the optimizer has seen of each task."""
        batch = self.inner_batch if self.training else self.inner_eval_batch
        shuffle = torch.Generator().manual_seed(self.shuffle if self.training else 0)
        batches = minibatches(items.labels.shape[1], batch, self.inner.steps, shuffle).to(items.labels.device)
        squares = torch.zeros(())

        def update(step: int, weights: State, gradients: State) -> State:
            nonlocal squares
            gradient = torch.cat([tensor.flatten(1) for tensor in gradients.values()], 1)
            change, squares = self.descent.step(step, gradient, squares)
            parts = change.split([tensor[0].numel() for tensor in weights.values()], 1)
            return {
                name: weight - part.view_as(weight)
                for (name, weight), part in zip(weights.items(), parts, strict=True)
            }

        return self.inner.descend(items, update, batches=batches), squares


def minibatches(items: int, batch: int, steps: int, shuffle: torch.Generator) -> Tensor:
    """Places of the items of each step, [steps, batch]: round after round through all, each in a new order."""
    rounds = -(-steps * batch // items)
    order = torch.cat([torch.randperm(items, generator=shuffle) for _ in range(rounds)])
    return order[: steps * batch].view(steps, batch)
