"""FGSM: one step of epsilon in every pixel, up the sign of the slope.

Goodfellow, Shlens & Szegedy, "Explaining and Harnessing Adversarial Examples", ICLR 2015.

    metacli train paradigm=protonet attack=fgsm attack.train_on=query
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from metacli.attacks.attack import Loss, Noise, pixels, slope


class FGSM:
    """epsilon: in the largest pixel, L∞."""

    def __init__(self, *, epsilon: float) -> None:
        self.epsilon = epsilon

    def to_train_on(self, loss: Loss, x: Tensor, noise: Noise) -> Sequence[Tensor]:
        return list(self.to_withstand(loss, x, noise, self.epsilon))

    def to_withstand(self, loss: Loss, x: Tensor, noise: Noise, epsilon: float) -> Iterator[Tensor]:
        yield pixels(x + epsilon * slope(loss, x).sign())
