"""Everything a report is made from, and the summary (report.json) that all its other files are printed from."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metacli.metrics import classification_scores, expected_calibration_error, mean_ci95


@dataclass(frozen=True)
class Results:
    """The outcome of E test episodes with Q queries each.

    classes: class id -> name, all classes of the data set · truth, predicted [E, Q] int64 class ids ·
    confidence [E, Q] float32, the largest softmax output · loss [E] float64, mean over the queries ·
    rows [E, Q] int64 rows of the data table · items: row -> name.
    """

    classes: tuple[str, ...]
    truth: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray
    loss: np.ndarray
    rows: np.ndarray
    items: Sequence[str]

    @property
    def correct(self) -> np.ndarray:
        """[E, Q] bool."""
        return self.truth == self.predicted

    @property
    def accuracy(self) -> np.ndarray:
        """[E] share of the queries that were answered rightly."""
        return self.correct.mean(axis=1)


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


def summarise(
    results: Results, protocol: dict[str, Any], run: dict[str, Any], result_hash: str
) -> dict[str, Any]:
    """What report.json holds: plain Python values, and None for a number that is not finite.

    protocol: bn_mode, order, episode {train, val, test: {ways, shots, queries (a class), count}}, episode_hash,
    selection, class_overlap (how many classes stand in more than one split), split.
    run: paradigm, family, dataset, backbone, seed, device, threads, seconds_train, seconds_total, parameters,
    weights (whose: "of this run", or of which).
    """
    rows, averages = classification_scores(results.truth, results.predicted)
    calibration = expected_calibration_error(results.confidence, results.correct)
    metrics = {
        "accuracy": _over_episodes(results.accuracy, "fraction"),
        "loss": _over_episodes(results.loss, "nats"),
        "macro_f1": _pooled(averages["macro"].f1, results.truth.size),
        "calibration_error": _pooled(calibration, results.truth.size),
    }
    summary = {
        "task": "classify",
        "primary": "accuracy",
        "metrics": metrics,
        "per_class": [
            {"class": results.classes[class_id], **scores._asdict()} for class_id, scores in rows.items()
        ],
        "averages": {name: scores._asdict() for name, scores in averages.items()},
        "protocol": protocol,
        "run": run,
        "result_hash": result_hash,
    }
    return _plain(summary)


def _over_episodes(values: np.ndarray, unit: str) -> dict[str, Any]:
    mean, ci95 = mean_ci95(values)
    return {"mean": mean, "ci95": ci95, "n": len(values), "unit": unit}


def _pooled(value: float, items: int) -> dict[str, Any]:
    """A figure over all queries of all episodes at once: it has no mean over episodes, so no interval."""
    return {"mean": value, "ci95": None, "n": items, "unit": "fraction"}


def _plain(value: Any) -> Any:
    """JSON has neither numpy numbers nor nan."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
