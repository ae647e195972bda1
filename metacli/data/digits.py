"""Digits: 1797 handwritten digits of 8x8 pixels, from scikit-learn. Ten classes: a small real data set to try on.

Alpaydin & Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository, 1998; the part that
scikit-learn carries.

    metacli train dataset=digits
"""

from collections.abc import Sequence

import numpy as np

from metacli.data.table import SPLITS, Description, Table, split_classes

_PER_CLASS = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
_INK = 16  # the darkest value of the source


class Digits:
    """Images [8, 8, 1] with ink = 255; the classes are "0" to "9", in a seeded split."""

    def __init__(self, *, split_sizes: Sequence[float], split_seed: int) -> None:
        self.split_sizes = split_sizes
        self.split_seed = split_seed

    def describe(self) -> Description:
        splits = {
            split: {str(digit): _PER_CLASS[digit] for digit in ids.tolist()}
            for split, ids in self._splits().items()
        }
        return Description(shape=(1, 8, 8), splits=splits)

    def build(self) -> Table:
        from sklearn.datasets import load_digits

        source = load_digits()
        images = np.rint(source.images * (255 / _INK)).astype(np.uint8)[..., None]
        return Table(
            images=images,
            labels=source.target.astype(np.int64),
            classes=tuple(map(str, range(10))),
            items=tuple(f"digit {row}" for row in range(len(images))),
            splits=self._splits(),
        )

    def _splits(self) -> dict[str, np.ndarray]:
        splits = split_classes(list(map(str, range(10))), self.split_sizes, self.split_seed)
        return {split: splits[split] for split in SPLITS}
