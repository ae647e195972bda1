"""ALFA: MAML whose inner rates and weight decay are generated anew for each task and step.

Baik, Choi, Choi, Kim & Lee, "Meta-Learning with Adaptive Hyperparameters", NeurIPS 2020. As in the authors' code, step
j takes every weight tensor l of a task to (1 − b·β[l, j])·θ − a·α[l, j]·∇, where α and β are learned and a, b come from
a small learned network that sees the means of all tensors and of their gradients; norms are not adapted, and nothing is
differentiated through the means of the gradients.

Ours: a and b begin at 1 for every task, so that training begins as MAML at these rates.

    metacli train paradigm=alfa
"""

import torch
from torch import Tensor, nn

from metacli.episode import Examples, Predictor, State
from metacli.learner import Learner
from metacli.paradigms.inner_loop import InnerLoop


class ALFA(Learner):
    """inner_initial_lr, inner_initial_decay: α and β of every tensor in every step, to begin with.

    `rates` and `decays` [tensors, steps], in the order of `inner.adapted`; `generator`: means -> a, b.
    """

    def __init__(self, *, inner: InnerLoop, inner_initial_lr: float, inner_initial_decay: float) -> None:
        super().__init__(inner.spec)
        self.inner = inner
        self.network = inner.network
        tensors = len(inner.adapted)
        self.rates = nn.Parameter(torch.full((tensors, inner.training_steps), inner_initial_lr))
        self.decays = nn.Parameter(torch.full((tensors, inner.training_steps), inner_initial_decay))
        last = nn.Linear(2 * tensors, 2 * tensors)
        nn.init.zeros_(last.weight)
        nn.init.ones_(last.bias)
        self.generator = nn.Sequential(nn.Linear(2 * tensors, 2 * tensors), nn.ReLU(), last)

    def adapt(self, support: Examples) -> Predictor:
        return self.inner.adapt(support, self._step)

    def _step(self, step: int, weights: State, gradients: State) -> State:
        state = torch.cat([_means(weights), _means(gradients).detach()], 1)  # [T, 2L]
        of_rates, of_decays = self.generator(state).chunk(2, 1)
        rates = (of_rates * self.rates[:, step]).unbind(1)  # of each tensor, [T]
        decays = (of_decays * self.decays[:, step]).unbind(1)
        return {
            name: _each(1 - decay, weight) * weight - _each(rate, weight) * gradients[name]
            for (name, weight), rate, decay in zip(weights.items(), rates, decays, strict=True)
        }


def _means(tensors: State) -> Tensor:
    """[T, L]"""
    return torch.stack([tensor.flatten(1).mean(1) for tensor in tensors.values()], 1)


def _each(factor: Tensor, weight: Tensor) -> Tensor:
    """[T] -> [T, 1, ...], to multiply `weight`."""
    return factor.view(-1, *[1] * (weight.dim() - 1))
