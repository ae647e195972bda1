"""A linear classifier of unit features, fitted to each support set by an optimizer of choice.

Logits are `scale`·(w·x/‖x‖ + b); w begins as the class mean of the unit features, b as 0. Then the optimizer takes
`steps` full-batch steps on the mean cross-entropy of the support set, which is convex: what the guarantees of MetaGrad
and AdaptiveMetaGrad are for. Each task is games of its own there (optim/per_task.py).

    metacli train paradigm=frozen head=probe optimizer@head.optimizer=adaptive_metagrad
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Examples, State
from metacli.heads.centroid import class_means
from metacli.objectives import cross_entropy


class Probe(nn.Module):
    """descent: from where to start, and what gives the gradient at such a point, to where the steps lead.

    State: `weights` [T, W, D + 1], of which the last column is b.
    """

    def __init__(
        self, *, scale: float, descent: Callable[[Tensor, Callable[[Tensor], Tensor]], Tensor]
    ) -> None:
        super().__init__()
        self.scale = scale
        self.descent = descent

    def fit(self, features: Tensor, support: Examples) -> State:
        x = _units(features.detach())
        start = class_means(x, support)
        start[..., -1] = 0

        def gradient(weights: Tensor) -> Tensor:
            loss = cross_entropy(self._logits(weights, x), support).sum()
            return torch.autograd.grad(loss, weights)[0]

        with torch.enable_grad():
            return {"weights": self.descent(start, gradient)}

    def answer(self, state: State, features: Tensor) -> Tensor:
        return self._logits(state["weights"], _units(features))

    def _logits(self, weights: Tensor, x: Tensor) -> Tensor:
        return self.scale * (x @ weights.transpose(1, 2))


def _units(features: Tensor) -> Tensor:
    """[T, N, D] -> [T, N, D + 1], the last 1."""
    return F.pad(F.normalize(features, dim=-1), (0, 1), value=1.0)
