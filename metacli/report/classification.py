"""What came out of episodes whose items have classes."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from metacli.metrics import HEADLINE, Scores, classification_scores, expected_calibration_error


@dataclass(frozen=True)
class SupportPicture:
    """One episode to look at, or a part of it.

    support [N, H, W, C] uint8 with a class name each · query [M, H, W, C] uint8 with true and predicted names;
    C is 1 (brightness) or 3 (RGB).
    """

    support: np.ndarray
    support_names: Sequence[str]
    query: np.ndarray
    true_names: Sequence[str]
    predicted_names: Sequence[str]


@dataclass(frozen=True)
class Sentences:
    """Texts to read. support, queries: of one episode · mistakes: the surest wrong answers of all episodes.

    A row is {"text", "class"}, and of an answer {"text", "true", "predicted", "confidence"}, wrong ones first.
    """

    support: Sequence[Mapping[str, Any]]
    queries: Sequence[Mapping[str, Any]]
    mistakes: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class ClassificationResults:
    """The outcome of E test episodes with Q queries each.

    classes: class id -> name, all classes of the data set · truth, predicted [E, Q] int64 class ids ·
    confidence [E, Q] float32, the largest softmax output · loss [E] float64, mean over the queries ·
    rows [E, Q] int64 rows of the data table · items: row -> name · picture: None where items are no images ·
    sentences: None where they are no texts · outside [E, O] float32, the confidence in answers to items that are of no
    class of their episode; O = 0 where there are none · given: whether anything was, or each item is asked by itself.
    """

    classes: tuple[str, ...]
    truth: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    loss: np.ndarray
    rows: np.ndarray
    items: Sequence[str]
    picture: SupportPicture | None = None
    sentences: Sentences | None = None
    outside: np.ndarray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    given: bool = True
    kind: ClassVar = "classify"
    primary: ClassVar = HEADLINE["classify"]

    @property
    def correct(self) -> np.ndarray:
        """[E, Q] bool."""
        return self.truth == self.predicted

    @property
    def accuracy(self) -> np.ndarray:
        """[E] share of the queries that were answered rightly."""
        return self.correct.mean(axis=1)

    @cached_property
    def _scores(self) -> tuple[dict[int, Scores], dict[str, Scores]]:
        return classification_scores(self.truth, self.predicted)

    def values(self) -> Mapping[str, np.ndarray]:
        return {"accuracy": self.accuracy, "loss": self.loss}

    def pooled(self) -> Mapping[str, tuple[float, int]]:
        _, averages = self._scores
        calibration = expected_calibration_error(self.confidence, self.correct)
        return {
            "macro_f1": (averages["macro"].f1, self.truth.size),
            "calibration_error": (calibration, self.truth.size),
        }

    def tables(self) -> dict[str, Any]:
        rows, averages = self._scores
        return {
            "per_class": [
                {"class": self.classes[class_id], **scores._asdict()} for class_id, scores in rows.items()
            ],
            "averages": {name: scores._asdict() for name, scores in averages.items()},
            **({"sentences": asdict(self.sentences)} if self.sentences else {}),
        }

    def examples(self) -> Sequence[Mapping[str, Any]]:
        return ()

    def predictions(self) -> tuple[Sequence[str], Sequence[Sequence[Any]]]:
        parts = (self.rows, self.truth, self.predicted, self.confidence)
        lines = [
            (
                episode,
                row,
                self.items[row],
                self.classes[truth],
                self.classes[predicted],
                f"{confidence:.6g}",
                int(truth == predicted),
            )
            for episode, queries in enumerate(zip(*(part.tolist() for part in parts), strict=True))
            for row, truth, predicted, confidence in zip(*queries, strict=True)
        ]
        return ("episode", "row", "item", "true", "predicted", "confidence", "correct"), lines
