"""What came out of episodes whose items have numbers to predict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from metacli.metrics import HEADLINE


@dataclass(frozen=True)
class RegressionResults:
    """The outcome of E test episodes with Q queries each, all float32.

    truth, predicted [E, Q, K] · x [E, Q, D], support_x [E, S, D] and support_y [E, S, K]: what was asked and given.
    """

    truth: np.ndarray
    predicted: np.ndarray
    x: np.ndarray
    support_x: np.ndarray
    support_y: np.ndarray
    kind: ClassVar = "regress"
    primary: ClassVar = HEADLINE["regress"]

    @property
    def errors(self) -> np.ndarray:
        """[E, Q, K] float64."""
        return self.predicted.astype(np.float64) - self.truth

    def values(self) -> Mapping[str, np.ndarray]:
        return {
            "mse": (self.errors**2).mean(axis=(1, 2)),
            "mae": np.abs(self.errors).mean(axis=(1, 2)),
        }

    def pooled(self) -> Mapping[str, tuple[float, int]]:
        spread = ((self.truth - self.truth.mean(axis=(0, 1), dtype=np.float64)) ** 2).mean()
        return {
            "rmse": (float(np.sqrt((self.errors**2).mean())), self.truth.size),
            "r2": (float(1 - (self.errors**2).mean() / spread), self.truth.size),
        }

    def tables(self) -> dict[str, Any]:
        return {"per_class": [], "averages": {}}

    def examples(self) -> Sequence[Mapping[str, Any]]:
        return ()

    def predictions(self) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        inputs, outputs = self.x.shape[2], self.truth.shape[2]
        headings = [*_numbered("x", inputs), *_numbered("true", outputs), *_numbered("predicted", outputs)]
        numbers = np.concatenate([self.x, self.truth, self.predicted], axis=2)
        lines = [
            (episode, *(f"{number:.6g}" for number in row))
            for episode, rows in enumerate(numbers.tolist())
            for row in rows
        ]
        return ("episode", *headings), lines


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}_{number}" for number in range(count)]
