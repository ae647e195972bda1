"""What the pictures have in common: one look whatever the user's matplotlibrc says, no global figure, PNG bytes."""

import functools
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from metacli.letters import code_point, printable
from metacli.report.names import shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#1f2933"
MUTED = "#66727f"
GRID = "#e1e5ea"
BLUE = "#2563a8"
ORANGE = "#c2540a"
GREEN = "#2e8540"
RED = "#c81e1e"

LOOK: dict[Any, Any] = {
    "text.parse_math": False,  # a class name may hold "$"
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "font.size": 10,
    "figure.constrained_layout.w_pad": 0.1,
    "figure.constrained_layout.h_pad": 0.1,
}


@contextmanager
def look() -> Iterator[None]:
    """Draw and save inside it: matplotlib's defaults and LOOK, then the caller's own settings again."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(LOOK)
        yield


def blank(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> "Figure":
    """A white page, in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def png(figure: "Figure") -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()


def label(name: str, limit: int) -> str:
    """A class name that can be drawn: letters that the font lacks as U+XXXX, at most `limit` columns."""
    known = _font_letters()
    drawn = "".join(letter if ord(letter) in known else code_point(letter) for letter in printable(name))
    return shorten(drawn, limit)


@functools.cache
def _font_letters() -> Any:
    """The code points of DejaVu Sans, which matplotlib carries and draws by default."""
    from matplotlib.font_manager import findfont, get_font

    return get_font(findfont("DejaVu Sans")).get_charmap().keys()
