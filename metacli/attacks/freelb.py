"""FreeLB: a few steps of fixed length up the slope from a random start, and every point on the way is trained on.

Zhu et al., "FreeLB: Enhanced Adversarial Training for Natural Language Understanding", ICLR 2020, where the inputs are
word embeddings. As in the paper the loss is the mean over the points that steps begin at; what is to be withstood is
the point where the last one ends.

    metacli train paradigm=maml attack=freelb attack.epsilon=2.8 attack.train_on=query
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from metacli.attacks.attack import Loss, Noise, lengths, pixels, slope


class FreeLB:
    """epsilon: Euclidean length over a whole item, L2 · start, step: lengths in epsilon of the start, at most, and of
    each of `steps`."""

    def __init__(self, *, epsilon: float, start: float, step: float, steps: int) -> None:
        self.epsilon = epsilon
        self.start = start
        self.step = step
        self.steps = steps

    def to_train_on(self, loss: Loss, x: Tensor, noise: Noise) -> Sequence[Tensor]:
        return list(self._way(loss, x, noise(0), self.epsilon))[:-1]

    def to_withstand(self, loss: Loss, x: Tensor, noise: Noise, epsilon: float) -> Iterator[Tensor]:
        *_, end = self._way(loss, x, noise(0), epsilon)
        yield end

    def _way(self, loss: Loss, x: Tensor, start: Tensor, epsilon: float) -> Iterator[Tensor]:
        size = x[0, 0].numel() ** 0.5
        at = pixels(x + self.start * epsilon / size * start)
        yield at
        for _ in range(self.steps):
            up = slope(loss, at)
            moved = at + self.step * epsilon * up / lengths(up) - x
            at = pixels(x + moved * (epsilon / lengths(moved)).clamp_max(1))
            yield at
