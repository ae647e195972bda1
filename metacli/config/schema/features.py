"""features: what is made of an item before the backbone."""

import math
from typing import Literal

from metacli.config.schema.values import (
    Amount,
    Count,
    Named,
    Rate,
    Share,
    Widths,
)

Form = Literal["vector", "image", "sequence", "text"]


class Features(Named):
    def output(self, shape: tuple[int, ...], form: Form) -> tuple[int, ...]:
        """What a backbone that takes `form` gets of each item: [D], [C, H, W], or of a sequence [1, steps, D].

        Raises ValueError, which says why, where there is no such thing.
        """
        return shape


class Fitted(Features):
    """images: of meta-train, to fit to · fit: or a random layer of the same form."""

    images: Count
    fit: bool

    @property
    def fewest(self) -> int:
        """Images that they can be fitted to."""
        return 1


class PCA(Fitted):
    components: Count
    whiten: bool
    rate: Rate

    @property
    def fewest(self) -> int:
        return self.components

    def output(self, shape: tuple[int, ...], form: Form) -> tuple[int, ...]:
        if self.components > math.prod(shape):
            raise ValueError(
                f"an image has {math.prod(shape)} numbers, of which there are no more components"
            )
        if form == "vector":
            return (self.components,)
        side = math.isqrt(self.components)
        if side**2 != self.components:
            raise ValueError(
                f"the backbone takes images, and no square has so many pixels; {side**2} has one"
            )
        return (1, side, side)


class Autoencoder(Fitted):
    widths: Widths
    dim: Count
    loss: Literal["bce", "mse"]
    noise: Amount
    epochs: Count
    batch: Count
    held_out: Share
    lr: Rate

    def output(self, shape: tuple[int, ...], form: Form) -> tuple[int, ...]:
        _, height, width = shape
        for _ in self.widths:
            height, width = (height + 1) // 2, (width + 1) // 2
        return {
            "vector": (self.dim,),
            "image": (self.widths[-1], height, width),
            "sequence": (1, height * width, self.widths[-1]),
        }[form]
