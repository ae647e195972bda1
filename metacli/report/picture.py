"""One test episode to look at: what the learner was shown, and what it answered."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from metacli.report.canvas import GREEN, INK, MUTED, RED, blank, label, look, png
from metacli.report.classification import SupportPicture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOTS = 5  # support images shown of a class
QUERIES = 6  # queries shown of a class
IMAGE, ACROSS, DOWN = 0.66, 0.85, 1.0  # inches: an image, and from one to the next
TOP = 0.55  # inches above the first row
NAME_LIMIT, LETTER = 34, 0.075  # class names at the left, inches a letter
ANSWER_LIMIT = 30  # letters of an answer that fit in two lines under an image


@look()
def support_picture(picture: SupportPicture) -> bytes:
    """A row a class: its support images, then its queries, framed green where the answer is right."""
    names = list(dict.fromkeys([*picture.support_names, *picture.true_names]))
    labels = [label(name, NAME_LIMIT) for name in names]
    support = [_rows_of(name, picture.support_names)[:SHOTS] for name in names]
    queries = [_rows_of(name, picture.true_names)[:QUERIES] for name in names]
    left = 0.3 + LETTER * max(map(len, labels))
    middle = left + ACROSS * (max(map(len, support)) + 0.4)  # a gap between what is given and what is asked
    size = (middle + max(ACROSS * max(map(len, queries)), 2.6), TOP + DOWN * len(names))

    figure = blank(*size, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.text(left, 0.3, "support", fontsize=9, color=MUTED)
    axes.text(middle, 0.3, "queries · red: wrong, with the answer", fontsize=9, color=MUTED)
    for row, name in enumerate(names):
        top = TOP + DOWN * row
        axes.text(left - 0.15, top + IMAGE / 2, labels[row], ha="right", va="center", fontsize=8, color=INK)
        for column, index in enumerate(support[row]):
            _draw(axes, picture.support[index], left + ACROSS * column, top)
        for column, index in enumerate(queries[row]):
            answer = picture.predicted_names[index]
            _draw(axes, picture.query[index], middle + ACROSS * column, top)
            _frame(axes, "" if answer == name else answer, middle + ACROSS * column, top)
    # One axis over the whole page, in inches from the top left corner (after imshow, which sets its own).
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0), aspect="auto")
    axes.axis("off")
    return png(figure)


def _rows_of(name: str, names: Sequence[str]) -> list[int]:
    return [index for index, other in enumerate(names) if other == name]


def _draw(axes: "Axes", image: np.ndarray, left: float, top: float) -> None:
    """image [H, W, 1 or 3] uint8"""
    colours = np.broadcast_to(image, (*image.shape[:2], 3))
    axes.imshow(colours, extent=(left, left + IMAGE, top + IMAGE, top))


def _frame(axes: "Axes", mistake: str, left: float, top: float) -> None:
    """Green around a right answer, else red with the mistaken class in two lines beneath."""
    from matplotlib.patches import Rectangle

    colour = RED if mistake else GREEN
    axes.add_patch(Rectangle((left, top), IMAGE, IMAGE, fill=False, edgecolor=colour, linewidth=2.2))
    name = label(mistake, ANSWER_LIMIT)
    half = len(name) if 2 * len(name) <= ANSWER_LIMIT else len(name) // 2 - 1  # a cut's "..." starts a line
    lines = f"{name[:half]}\n{name[half:]}"
    axes.text(left + IMAGE / 2, top + IMAGE + 0.04, lines, ha="center", va="top", fontsize=5.5, color=RED)
