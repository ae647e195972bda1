"""FGSM: one step of epsilon in every pixel, up the sign of the slope.

Goodfellow, Shlens & Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015.

    metacli train paradigm=protonet attack=fgsm attack.train_on=query
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from metacli.attacks.attack import Loss, Noise, slope
from metacli.attacks.space import Space


class FGSM:
    """epsilon: in the largest pixel, L∞."""

    def __init__(self, *, epsilon: float) -> None:
        self.epsilon = epsilon

    def to_train_on(self, loss: Loss, space: Space, noise: Noise) -> Sequence[Tensor]:
        return list(self.to_withstand(loss, space, noise, self.epsilon))

    def to_withstand(self, loss: Loss, space: Space, noise: Noise, epsilon: float) -> Iterator[Tensor]:
        yield space.allowed(space.x + epsilon * slope(loss, space.x).sign())
