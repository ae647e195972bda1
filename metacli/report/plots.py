"""The course of the training and the spread over episodes, as pictures (PNG bytes)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metacli.metrics import METRICS, mean_ci95, shown, validation_metric
from metacli.report.canvas import BLUE, MUTED, ORANGE, blank, look, png
from metacli.report.results import Results

BARS = 30


@look()
def learning_curve(history: Sequence[Mapping[str, Any]], unit: str = "outer step") -> bytes:
    """Training loss above, the metric on validation with its 95 % interval below, both over steps.

    history: records with `step` and `loss`, and at validation steps `val_` and a metric, and `val_ci95`.
    """
    from matplotlib.ticker import MaxNLocator

    if not history:
        return _no_training()
    figure = blank(7, 5)
    above, below = figure.subplots(2, 1, sharex=True)
    steps, loss = _series(history, "loss")
    window = max(1, len(steps) // 50)
    if window > 1:
        above.plot(steps, loss, color=BLUE, alpha=0.25, linewidth=0.8)
        steps, loss = _smooth(steps, loss, window)
    above.plot(steps, loss, color=BLUE, marker="o" if len(steps) == 1 else "")
    above.set_title("Training loss" + (f" (line: mean of {window} records)" if window > 1 else ""))

    validations = [record for record in history if "val_ci95" in record]
    metric = validation_metric(validations[0]) if validations else "loss"
    steps, mean = _series(validations, f"val_{metric}")
    _, half = _series(validations, "val_ci95")
    below.fill_between(steps, mean - half, mean + half, color=ORANGE, alpha=0.2, linewidth=0)
    below.errorbar(steps, mean, half, color=ORANGE, marker="o", markersize=4, elinewidth=1)
    what = f"Validation: {METRICS[metric].words} (band: 95 % CI)"
    below.set_title(what if validations else "There was no validation")
    below.set_xlabel(unit)
    below.set_xlim(0, 1.02 * history[-1]["step"] or 1)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    _in_units_of(metric, below.yaxis)
    for axes, values in ((above, loss), (below, mean)):
        if not np.isfinite(values).any():
            axes.grid(False)
            axes.set_yticks([])
            axes.text(0.5, 0.5, "no value to show", transform=axes.transAxes, ha="center", color=MUTED)
    return png(figure)


@look()
def episode_histogram(results: Results) -> bytes:
    """How many episodes reached which value of the headline metric, with the mean and its 95 % interval."""
    from matplotlib.ticker import MaxNLocator

    metric = results.primary
    values = results.values()[metric]
    mean, half = mean_ci95(values)
    edges: Any = BARS
    if metric == "accuracy":
        # It is a whole number of queries, so bars that span a whole number of them leave no comb of gaps.
        queries = results.truth.shape[1]
        right = np.rint(values * queries).astype(int)
        span = int(right.max() - right.min()) // BARS + 1
        edges = (np.arange(right.min(), right.max() + span + 1, span) - 0.5) / queries

    figure = blank(7, 3.4)
    axes = figure.add_subplot()
    axes.hist(values, edges, color=BLUE, alpha=0.75, edgecolor="white", linewidth=0.6)
    axes.axvspan(mean - half, mean + half, color=ORANGE, alpha=0.3, linewidth=0)
    axes.axvline(mean, color=ORANGE, linewidth=1.6)
    axes.set_title(f"{len(values)} episodes: mean {shown(metric, mean, half)}")
    axes.set_xlabel(f"{METRICS[metric].words} of an episode")
    axes.set_ylabel("episodes")
    axes.grid(axis="x", visible=False)
    _in_units_of(metric, axes.xaxis)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return png(figure)


def _in_units_of(metric: str, axis: Any) -> None:
    from matplotlib.ticker import PercentFormatter

    if METRICS[metric].unit == "fraction":
        axis.set_major_formatter(PercentFormatter(1.0))


def _series(history: Sequence[Mapping[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
    """Steps [n] and values [n] of the records that have the key; nan where a value is not finite."""
    pairs = [(record["step"], record[key]) for record in history if key in record]
    steps, values = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
    return steps, np.where(np.isfinite(values), values, np.nan)


def _smooth(steps: np.ndarray, values: np.ndarray, window: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean of each `window` neighbours, at their middle."""
    weights = np.full(window, 1 / window)
    return np.convolve(steps, weights, "valid"), np.convolve(values, weights, "valid")


def _no_training() -> bytes:
    figure = blank(7, 1.4)
    figure.text(
        0.5, 0.5, "There was no training in this run", ha="center", va="center", fontsize=12, color=MUTED
    )
    return png(figure)
