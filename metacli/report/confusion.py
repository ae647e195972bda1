"""Which classes are taken for which, as a picture."""

import numpy as np

from metacli.report.canvas import INK, MUTED, blank, label, look, png
from metacli.report.classification import ClassificationResults

WHOLE = 40  # up to so many classes the picture shows all of them
MOST = 24  # of more classes it shows so many: those most often confused with one another
NAME_LIMIT = 34


@look()
def confusion(results: ClassificationResults) -> bytes:
    """PNG: rows are true classes, columns answers, each cell the percentage of the row.

    Episodes hold a few classes each, and only classes that met in one can be confused: pairs that never met are
    grey. Where not all classes are shown, a last column gathers the answers that are not.
    """
    occurring = np.union1d(results.truth, results.predicted)
    whole = len(occurring) <= WHOLE
    shown = occurring if whole else _most_confused(results, occurring)
    counts = _counts(results, shown)
    met = _met(results.truth, shown)
    if whole:
        counts, met = counts[:, :-1], met[:, :-1]
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    rows, answers = counts.shape
    figure = blank(max(3.0 + 0.24 * answers, 5.0), 3.3 + 0.24 * rows)
    axes = figure.add_subplot()
    axes.imshow(_colours(share, met | (counts > 0)))
    names = [label(results.classes[class_id], NAME_LIMIT) for class_id in shown]
    axes.set_yticks(range(rows), names, fontsize=7.5, color=INK)
    names = names if whole else [*names, "any other class"]
    axes.set_xticks(range(answers), names, fontsize=7.5, color=INK, rotation=90)
    axes.set_xlabel("answer")
    axes.set_ylabel("true class")
    axes.grid(False)
    axes.tick_params(length=0)
    for row, answer in zip(*np.nonzero(np.rint(100 * share)), strict=True):
        colour = "white" if row == answer and share[row, answer] > 0.5 else INK
        percent = f"{100 * share[row, answer]:.0f}"
        axes.text(answer, row, percent, ha="center", va="center", fontsize=6, color=colour)
    title = f"The {rows} classes most often confused, of {len(occurring)} tested"
    figure.suptitle(f"All {rows} classes tested" if whole else title, x=0.01, ha="left", fontsize=11)
    key = "% of a row · blue: right · orange: wrong · grey: never met in an episode"
    figure.supxlabel(key, x=0.01, ha="left", fontsize=7.5, color=MUTED)
    return png(figure)


def _most_confused(results: ClassificationResults, occurring: np.ndarray) -> np.ndarray:
    """Classes [<= MOST], taken pair by pair from the pair with most mistakes on, so that partners stay together."""
    wrong = ~results.correct
    pairs = np.sort(np.stack([results.truth[wrong], results.predicted[wrong]], axis=1), axis=1)
    pairs, mistakes = np.unique(pairs, axis=0, return_counts=True)
    shown = dict.fromkeys(pairs[np.argsort(-mistakes, kind="stable")].ravel().tolist())
    return np.array(list(shown)[:MOST] or occurring[:MOST], dtype=np.int64)


def _counts(results: ClassificationResults, shown: np.ndarray) -> np.ndarray:
    """Queries [S, S + 1] by true class and answer; the last column holds the answers that are not shown."""
    size = len(shown)
    truth, predicted = _places(results.truth, shown), _places(results.predicted, shown)
    cells = (truth * (size + 1) + predicted)[truth < size]
    return np.bincount(cells, minlength=size * (size + 1)).reshape(size, size + 1)


def _met(truth: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Pairs [S, S + 1] of classes that stood in one episode; the last column counts as met."""
    present = np.zeros((len(truth), len(shown) + 1), dtype=np.int64)
    present[np.arange(len(truth))[:, None], _places(truth, shown)] = 1
    present[:, -1] = 1
    return (present.T @ present > 0)[:-1]


def _places(ids: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """Class ids as positions in `shown`, or len(shown) where they are not in it."""
    order = np.argsort(shown)
    place = np.minimum(np.searchsorted(shown, ids, sorter=order), len(shown) - 1)
    return np.where(shown[order[place]] == ids, order[place], len(shown))


def _colours(share: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """RGB [S, A, 3]: right answers blue by their share, wrong ones orange against the worst, the rest white."""
    blue, orange, grey = np.array([[0.15, 0.39, 0.66], [0.95, 0.55, 0.2], [0.93, 0.935, 0.945]])
    right = np.eye(*share.shape, dtype=np.bool_)
    wrong = share * ~right
    wrong[:, len(share) :] = 0  # "any other class" is no pair
    strength = np.where(right, share, wrong / max(float(wrong.max()), 1e-9))[..., None]
    colours = 1 + strength * (np.where(right[..., None], blue, orange) - 1)
    return np.where(possible[..., None], colours, grey)
