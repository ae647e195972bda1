"""FGM: one step of length epsilon straight up the slope, item by item; trained on beside the inputs as they are.

Miyato, Dai & Goodfellow, "Adversarial Training Methods for Semi-Supervised Text Classification", ICLR 2017, where the
inputs are word embeddings and the loss is L(e) + L(e + r); here it is their mean.

    metacli train paradigm=maml attack=fgm attack.epsilon=2.8 attack.train_on=query
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from metacli.attacks.attack import Loss, Noise, lengths, pixels, slope


class FGM:
    """epsilon: Euclidean length over a whole item, L2."""

    def __init__(self, *, epsilon: float) -> None:
        self.epsilon = epsilon

    def to_train_on(self, loss: Loss, x: Tensor, noise: Noise) -> Sequence[Tensor]:
        return [x, *self.to_withstand(loss, x, noise, self.epsilon)]

    def to_withstand(self, loss: Loss, x: Tensor, noise: Noise, epsilon: float) -> Iterator[Tensor]:
        up = slope(loss, x)
        yield pixels(x + epsilon * up / lengths(up))
