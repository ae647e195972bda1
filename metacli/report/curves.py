"""What was predicted where the answers are numbers, as pictures (PNG bytes)."""

from metacli.report.canvas import BLUE, INK, MUTED, ORANGE, blank, look, png
from metacli.report.regression import RegressionResults

EPISODES = 4  # shown, the first ones
POINTS = 5000  # at most, in a cloud of answers


@look()
def curves(results: RegressionResults) -> bytes:
    """The first episodes of functions of one number: the points given, and true and predicted values, joined."""
    shown = min(EPISODES, len(results.truth))
    columns = min(shown, 2)
    rows = -(-shown // columns)
    figure = blank(3.5 * columns, 0.4 + 2.5 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    for episode, axes in zip(range(shown), grid.flat, strict=False):
        x, true, predicted = (part[episode, :, 0] for part in (results.x, results.truth, results.predicted))
        axes.vlines(x, true, predicted, color=ORANGE, linewidth=1)
        axes.scatter(x, true, color=MUTED, s=14, label="true")
        axes.scatter(x, predicted, marker="x", color=ORANGE, s=26, label="predicted")
        given = results.support_x[episode, :, 0], results.support_y[episode, :, 0]
        axes.scatter(*given, marker="^", color=BLUE, s=26, label="given")
        error = results.values()["mse"][episode]
        axes.set_title(f"episode {episode}: squared error {error:.3g}", fontsize=9)
    for axes in grid.flat[shown:]:
        axes.axis("off")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return png(figure)


@look()
def predicted_against_true(results: RegressionResults) -> bytes:
    """A dot an answer, on the diagonal where it is right; an even share of them where there are many."""
    truth, predicted = results.truth.ravel(), results.predicted.ravel()
    some = slice(None, None, -(-truth.size // POINTS))
    figure = blank(5, 4.6)
    axes = figure.add_subplot()
    axes.scatter(truth[some], predicted[some], s=5, color=BLUE, alpha=0.3, linewidth=0)
    ends = (float(truth.min()), float(truth.max()))
    axes.plot(ends, ends, color=INK, linewidth=0.8)
    axes.set_xlabel("true")
    axes.set_ylabel("predicted")
    axes.set_title(f"{len(truth[some])} of {truth.size} answers")
    return png(figure)
