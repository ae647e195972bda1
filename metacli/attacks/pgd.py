"""PGD: many small steps up the sign of the slope from a random start, none farther than epsilon in any pixel.

Madry et al., "Towards Deep Learning Models Resistant to Adversarial Attacks", ICLR 2018; on the queries of adapted
models, Goldblum, Fowl & Goldstein, "Adversarially Robust Few-Shot Learning", NeurIPS 2020, whose numbers of steps (7
in training, 20 to be withstood) and step of epsilon / 4 are the defaults.

    metacli train paradigm=maml attack=pgd attack.train_on=query
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from metacli.attacks.attack import Loss, Noise, slope
from metacli.attacks.space import Space


class PGD:
    """epsilon: in the largest pixel, L∞ · step: in epsilon · steps in training, eval_steps to be withstood, from each
    of `restarts` starts."""

    def __init__(self, *, epsilon: float, step: float, steps: int, eval_steps: int, restarts: int) -> None:
        self.epsilon = epsilon
        self.step = step
        self.steps = steps
        self.eval_steps = eval_steps
        self.restarts = restarts

    def to_train_on(self, loss: Loss, space: Space, noise: Noise) -> Sequence[Tensor]:
        return [self._ascended(loss, space, noise(0), self.epsilon, self.steps)]

    def to_withstand(self, loss: Loss, space: Space, noise: Noise, epsilon: float) -> Iterator[Tensor]:
        for start in range(self.restarts):
            yield self._ascended(loss, space, noise(start), epsilon, self.eval_steps)

    def _ascended(self, loss: Loss, space: Space, start: Tensor, epsilon: float, steps: int) -> Tensor:
        at = space.allowed(space.x + epsilon * start)
        for _ in range(steps):
            up = at + self.step * epsilon * slope(loss, at).sign()
            at = space.allowed(space.x + (up - space.x).clamp(-epsilon, epsilon))
        return at
