"""Sinusoids: a task is to predict a sine wave of an unknown amplitude and phase from a few of its points.

Finn, Abbeel & Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks", ICML 2017, §5.1. The
noise is ours.

    metacli train experiment=sinusoid/maml_10shot
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from metacli.data.table import SPLITS, Description
from metacli.files import digest

Range = tuple[float, float]


@dataclass(frozen=True)
class Waves:
    """y = a·sin(x − p) + noise·N(0, 1), each of a, p and x uniform in its range. There are endlessly many tasks."""

    amplitude: Range
    phase: Range
    x: Range
    noise: float
    kind: ClassVar = "regress"
    shape: ClassVar = (1,)
    splits: ClassVar[Mapping[str, Any]] = dict.fromkeys(SPLITS)
    notes: ClassVar[tuple[str, ...]] = ()
    counts: ClassVar[Mapping[str, Any]] = {}
    class_overlap: ClassVar = 0

    @property
    def fingerprint(self) -> str:
        return digest(repr(self).encode())

    split_fingerprint = fingerprint

    def outputs(self, ways: int) -> int:
        return 1


class Sinusoid:
    """The splits are three streams of tasks from one distribution; no task occurs twice."""

    def __init__(
        self, *, amplitude: Sequence[float], phase: Sequence[float], x: Sequence[float], noise: float
    ) -> None:
        self.waves = Waves(_range(amplitude), _range(phase), _range(x), noise)

    def describe(self) -> Description:
        return Description(shape=Waves.shape, splits={split: {} for split in SPLITS}, kind=Waves.kind)

    def build(self) -> Waves:
        return self.waves


def _range(ends: Sequence[float]) -> Range:
    low, high = ends
    return low, high
