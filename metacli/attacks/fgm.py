"""FGM: one step of length epsilon straight up the slope, item by item; trained on beside the inputs as they are.

Miyato, Dai & Goodfellow, "Adversarial Training Methods for Semi-Supervised Text Classification", ICLR 2017, where the
inputs are embeddings of words, the length is over a whole text and the loss is L(e) + L(e + r); here it is their mean.

    metacli train paradigm=protonet attack=fgm attack.train_on=query dataset=clinc150 backbone=minilm
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from metacli.attacks.attack import Loss, Noise, lengths, slope
from metacli.attacks.space import Space


class FGM:
    """epsilon: Euclidean length over a whole item, L2."""

    def __init__(self, *, epsilon: float) -> None:
        self.epsilon = epsilon

    def to_train_on(self, loss: Loss, space: Space, noise: Noise) -> Sequence[Tensor]:
        return [space.x, *self.to_withstand(loss, space, noise, self.epsilon)]

    def to_withstand(self, loss: Loss, space: Space, noise: Noise, epsilon: float) -> Iterator[Tensor]:
        up = slope(loss, space.x)
        yield space.allowed(space.x + epsilon * up / lengths(up))
