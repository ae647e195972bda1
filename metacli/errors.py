"""What reaches a user as two or three plain lines: a mistake (exit code 2), or a stop that is nobody's mistake."""

from collections.abc import Iterable
from difflib import get_close_matches

from metacli.letters import printable


class UserError(Exception):
    """A mistake that the user can mend.

    `problem` names the key and the value; `hint` names the way out. Each is one line, whatever it quotes.
    """

    def __init__(self, problem: str, hint: str = "") -> None:
        super().__init__(problem)
        self.problem = printable(problem)
        self.hint = printable(hint)

    def __str__(self) -> str:
        return f"{self.problem}\n{self.hint}" if self.hint else self.problem


class Interrupted(Exception):
    """Stopped from outside; what was saved can be gone on with. `code`: the exit code to leave with."""

    def __init__(self, told: str, code: int) -> None:
        super().__init__(told)
        self.code = code


_SHOWN = 60  # words at most


def suggest(word: str, known: Iterable[str]) -> str:
    """'did you mean "x"?' where something is close, else the known words."""
    known = sorted(known)
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    if close:
        return f'did you mean "{close[0]}"?'
    if len(known) > _SHOWN:
        return f"known: {', '.join(known[: _SHOWN // 4])} and {len(known) - _SHOWN // 4} more"
    return f"known: {', '.join(known) or 'none'}"
