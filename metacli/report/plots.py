"""The course of the training and the spread over episodes, as pictures (PNG bytes)."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from metacli.metrics import mean_ci95
from metacli.report.canvas import BLUE, MUTED, ORANGE, blank, look, png
from metacli.report.results import Results

BARS = 30


@look()
def learning_curve(history: Sequence[dict[str, Any]]) -> bytes:
    """Training loss above, validation accuracy with its 95 % interval below, both over outer steps.

    history: records with `step` and `loss`, and at validation steps `val_accuracy` (0..1) and `val_ci95`.
    """
    from matplotlib.ticker import MaxNLocator, PercentFormatter

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

    validations = [record for record in history if "val_accuracy" in record]
    steps, accuracy = _series(validations, "val_accuracy")
    _, half = _series(validations, "val_ci95")
    below.fill_between(steps, accuracy - half, accuracy + half, color=ORANGE, alpha=0.2, linewidth=0)
    below.errorbar(steps, accuracy, half, color=ORANGE, marker="o", markersize=4, elinewidth=1)
    below.set_title("Validation accuracy (band: 95 % CI)" if validations else "There was no validation")
    below.set_xlabel("outer step")
    below.set_xlim(0, 1.02 * history[-1]["step"] or 1)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    below.yaxis.set_major_formatter(PercentFormatter(1.0))
    for axes, values in ((above, loss), (below, accuracy)):
        if not np.isfinite(values).any():
            axes.grid(False)
            axes.set_yticks([])
            axes.text(0.5, 0.5, "no value to show", transform=axes.transAxes, ha="center", color=MUTED)
    return png(figure)


@look()
def episode_histogram(results: Results) -> bytes:
    """How many episodes reached which accuracy, with the mean and its 95 % interval."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    episodes, queries = results.truth.shape
    mean, half = mean_ci95(results.accuracy)
    right = results.correct.sum(axis=1)
    # An accuracy is a whole number of queries, so bars that span a whole number of them leave no comb of gaps.
    span = int(right.max() - right.min()) // BARS + 1
    edges = (np.arange(right.min(), right.max() + span + 1, span) - 0.5) / queries

    figure = blank(7, 3.4)
    axes = figure.add_subplot()
    axes.hist(results.accuracy, edges, color=BLUE, alpha=0.75, edgecolor="white", linewidth=0.6)
    axes.axvspan(mean - half, mean + half, color=ORANGE, alpha=0.3, linewidth=0)
    axes.axvline(mean, color=ORANGE, linewidth=1.6)
    axes.set_title(f"{episodes} episodes: mean {100 * mean:.2f} % ± {100 * half:.2f} %")
    axes.set_xlabel("accuracy of an episode")
    axes.set_ylabel("episodes")
    axes.grid(axis="x", visible=False)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return png(figure)


def _series(history: Sequence[dict[str, Any]], key: str) -> tuple[np.ndarray, np.ndarray]:
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
