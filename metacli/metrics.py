"""What predictions are judged by: numpy and scikit-learn, no torch."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

AVERAGES = ("micro", "macro", "weighted")


class Metric(NamedTuple):
    """A number that a report may hold. unit: "fraction" is shown in per cent."""

    words: str
    unit: str
    higher_is_better: bool


METRICS = {
    "accuracy": Metric("accuracy", "fraction", True),
    "macro_f1": Metric("macro F1", "fraction", True),
    "calibration_error": Metric("calibration error", "fraction", False),
    "span_f1": Metric("span F1", "fraction", True),
    "span_precision": Metric("span precision", "fraction", True),
    "span_recall": Metric("span recall", "fraction", True),
    "pooled_span_f1": Metric("pooled span F1", "fraction", True),
    "pooled_span_precision": Metric("pooled precision", "fraction", True),
    "pooled_span_recall": Metric("pooled recall", "fraction", True),
    "token_accuracy": Metric("token accuracy", "fraction", True),
    "entity_token_f1": Metric("token F1 but O", "fraction", True),
    "loss": Metric("loss", "nats", False),
    "mse": Metric("squared error", "squared units", False),
    "mae": Metric("absolute error", "units", False),
    "rmse": Metric("root mean square", "units", False),
    "r2": Metric("R²", "", True),
    "explained_variance": Metric("explained variance", "fraction", True),
    "reconstruction": Metric("reconstruction error", "squared units", False),
}


# By kind of task: what its report states first, and what the best weights are chosen by on validation.
HEADLINE = {"classify": "accuracy", "regress": "mse", "tag": "span_f1"}


def shown(metric: str, mean: float | None, ci95: float | None, plus_minus: str = "±") -> str:
    """'97.68 ± 0.32 %' of a metric that is a fraction, else '0.0832 ± 0.0102'."""
    if mean is None:
        return "not a number"
    factor, form, unit = (100, ".2f", " %") if METRICS[metric].unit == "fraction" else (1, ".4f", "")
    spread = "" if ci95 is None else f" {plus_minus} {factor * ci95:{form}}"
    return f"{factor * mean:{form}}{spread}{unit}"


def validation_metric(row: Mapping[str, Any]) -> str:
    """The metric of a row of the training history that was written at a validation."""
    return next(key.removeprefix("val_") for key in row if key.startswith("val_") and key != "val_ci95")


class Scores(NamedTuple):
    """One row of a classification table; `support` counts the items whose true class it is."""

    precision: float
    recall: float
    f1: float
    support: int


def mean_ci95(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """The mean and the half-width of its 95 % interval, 1.96 · std / √n with the population std.

    This is the interval that the MAML code prints. A value that is not finite makes both so, without a warning.
    """
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        return float(values.mean()), float(1.96 * values.std() / np.sqrt(values.size))


def expected_calibration_error(confidence: np.ndarray, correct: np.ndarray, bins: int = 15) -> float:
    """Σ over bins of (items in the bin / items) · |accuracy − mean confidence|, in equal bins (lower, upper].

    confidence [...] in 0..1 · correct [...] bool, the same shape. nan where a confidence is not finite.
    Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    confidence = np.asarray(confidence, dtype=np.float64).ravel()
    if not np.isfinite(confidence).all():
        return float("nan")
    place = np.clip(np.ceil(confidence * bins) - 1, 0, bins - 1).astype(np.int64)
    gaps = np.bincount(place, np.asarray(correct).ravel() - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / confidence.size)


def scope_threshold(inside: np.ndarray, outside: np.ndarray) -> float:
    """The confidence up to which an item is best called out of scope: where the share of items of no class that are
    found exceeds the share of others that are by most (Youden 1950), which does not depend on how many there are.

    inside, outside [...]: confidences in answers to items of a class, and of none.
    """
    from sklearn.metrics import roc_curve

    false, found, thresholds = roc_curve(*_scope(inside, outside), drop_intermediate=False)
    return float(-thresholds[(found - false).argmax()])


def scope_scores(inside: np.ndarray, outside: np.ndarray, threshold: float) -> dict[str, float]:
    """precision and recall of calling items up to a confidence of `threshold` out of scope; auroc: of any threshold."""
    from sklearn.metrics import roc_auc_score

    found, false = int((outside <= threshold).sum()), int((inside <= threshold).sum())
    return {
        "precision": found / max(found + false, 1),
        "recall": found / outside.size,
        "auroc": float(roc_auc_score(*_scope(inside, outside))),
    }


def _scope(inside: np.ndarray, outside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth = np.repeat([0, 1], [inside.size, outside.size])
    return truth, -np.concatenate([inside.ravel(), outside.ravel()])


def classification_scores(
    truth: np.ndarray, predicted: np.ndarray
) -> tuple[dict[int, Scores], dict[str, Scores]]:
    """Scores a class, in class-id order, and their micro, macro and weighted averages.

    truth [...] and predicted [...] hold class ids. Every class that occurs in either has a row, so the micro
    average is the accuracy. A ratio without a denominator counts as 0.
    """
    from sklearn.metrics import precision_recall_fscore_support

    truth, predicted = np.ravel(truth), np.ravel(predicted)
    ids = np.union1d(truth, predicted)
    columns = precision_recall_fscore_support(truth, predicted, labels=ids, zero_division=0)
    rows = {
        int(class_id): Scores(float(precision), float(recall), float(f1), int(support))
        for class_id, precision, recall, f1, support in zip(ids, *columns, strict=True)
    }
    averages = {}
    for average in AVERAGES:
        precision, recall, f1, _ = precision_recall_fscore_support(
            truth, predicted, labels=ids, average=average, zero_division=0
        )
        averages[average] = Scores(float(precision), float(recall), float(f1), truth.size)
    return rows, averages
