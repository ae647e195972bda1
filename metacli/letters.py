"""Text fit to print: on its line, and no longer than is good."""

import unicodedata
from typing import Any

_LONG = 120  # characters


def printable(text: str) -> str:
    """Control characters, line ends and bidirectional marks as U+XXXX: the text stays on its line."""
    return "".join(letter if letter.isprintable() else code_point(letter) for letter in text)


def code_point(letter: str) -> str:
    return f"U+{ord(letter):04X}"


def storable(text: str) -> bool:
    """Whether every file that holds the text gives it back: no control characters, line ends or halves of letters."""
    return not any(
        unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in text if letter != "\t"
    )


def brief(value: Any) -> str:
    """A value of the user's in a message: the middle of a long one gives way to "..."."""
    try:
        text = str(value)
    except ValueError:  # Python writes no whole number of more than 4300 digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONG else f"{text[: _LONG // 2]}...{text[-_LONG // 2 :]}"


def size(count: int) -> str:
    """'26.1 MB' of bytes."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
