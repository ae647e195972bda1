"""Gratings: stripes whose angle and spacing are the class, at any phase, under noise. Nothing to download.

metacli train dataset=gratings
"""

from collections.abc import Sequence

import numpy as np

from metacli.data.table import Description, Table, split_classes

ANGLES = range(0, 180, 15)  # degrees
PERIODS = (4, 5, 6, 7, 8)  # pixels
KINDS = [(angle, period) for angle in ANGLES for period in PERIODS]
CLASSES = tuple(f"{angle} degrees, {period} pixels" for angle, period in KINDS)


class Gratings:
    """Images [size, size, 1]. noise: standard deviation of each pixel, where the stripes go from -1 to 1."""

    def __init__(
        self, *, size: int, per_class: int, noise: float, split_sizes: Sequence[float], seed: int
    ) -> None:
        self.size = size
        self.per_class = per_class
        self.noise = noise
        self.split_sizes = split_sizes
        self.seed = seed

    def describe(self) -> Description:
        """Counts alone: this is asked before anything is built."""
        splits = {
            split: {CLASSES[label]: self.per_class for label in labels}
            for split, labels in split_classes(CLASSES, self.split_sizes, self.seed).items()
        }
        return Description(shape=(1, self.size, self.size), splits=splits)

    def build(self) -> Table:
        labels = np.repeat(np.arange(len(CLASSES), dtype=np.int64), self.per_class)
        random = np.random.default_rng(self.seed)
        angles, periods = np.array(KINDS, float).T[:, labels, None, None]
        y, x = np.mgrid[: self.size, : self.size]
        across = np.cos(np.radians(angles)) * x + np.sin(np.radians(angles)) * y
        phases = random.uniform(0, 2 * np.pi, (len(labels), 1, 1))
        stripes = np.cos(2 * np.pi * across / periods + phases)
        noisy = stripes + self.noise * random.normal(size=stripes.shape)
        return Table(
            images=(128 + 40 * noisy).clip(0, 255).astype(np.uint8)[..., None],
            labels=labels,
            classes=CLASSES,
            items=tuple(f"{CLASSES[label]}, {row % self.per_class}" for row, label in enumerate(labels)),
            splits=split_classes(CLASSES, self.split_sizes, self.seed),
        )
