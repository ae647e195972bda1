"""FreeLB: a few steps of fixed length up the slope from a random start, and every point on the way is trained on.

Zhu et al., "FreeLB: Enhanced Adversarial Training for Natural Language Understanding", ICLR 2020, where the inputs are
embeddings of words and all lengths are over a whole text. As in the paper the loss is the mean over the points that
steps begin at, and no number of a start is larger than its length over √(how many numbers the text has); what is to be
withstood is the point where the last step ends, which is PGD of so many steps in the Euclidean norm.

    metacli train paradigm=protonet attack=freelb attack.train_on=query dataset=clinc150 backbone=minilm
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from metacli.attacks.attack import Loss, Noise, lengths, slope
from metacli.attacks.space import Space


class FreeLB:
    """epsilon: Euclidean length over a whole item, L2 · start, step: lengths in epsilon of the start, at most, and of
    each of `steps`."""

    def __init__(self, *, epsilon: float, start: float, step: float, steps: int) -> None:
        self.epsilon = epsilon
        self.start = start
        self.step = step
        self.steps = steps

    def to_train_on(self, loss: Loss, space: Space, noise: Noise) -> Sequence[Tensor]:
        return list(self._way(loss, space, noise(0), self.epsilon))[:-1]

    def to_withstand(self, loss: Loss, space: Space, noise: Noise, epsilon: float) -> Iterator[Tensor]:
        *_, end = self._way(loss, space, noise(0), epsilon)
        yield end

    def _way(self, loss: Loss, space: Space, start: Tensor, epsilon: float) -> Iterator[Tensor]:
        x = space.x
        at = space.allowed(x + self.start * epsilon / space.numbers.clamp_min(1).sqrt() * start)
        yield at
        for _ in range(self.steps):
            up = slope(loss, at)
            moved = at + self.step * epsilon * up / lengths(up) - x
            at = space.allowed(x + moved * (epsilon / lengths(moved)).clamp_max(1))
            yield at
