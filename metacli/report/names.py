"""Class names made fit to print: they come from folders and data sets, in any script and of any length."""

import unicodedata


def columns(text: str) -> int:
    """How many terminal columns the text takes: wide letters two, combining marks none."""
    return sum(_width(letter) for letter in text)


def shorten(name: str, limit: int) -> str:
    """At most `limit` columns: the middle of a longer name gives way to "...", as both ends tell names apart."""
    if columns(name) <= limit:
        return name
    room = limit - len("...")
    tail = _take(name[::-1], room // 2)[::-1]
    return f"{_take(name, room - columns(tail))}...{tail}"


def right_aligned(text: str, width: int) -> str:
    return " " * (width - columns(text)) + text


def _take(text: str, limit: int) -> str:
    taken = 0
    for position, letter in enumerate(text):
        taken += _width(letter)
        if taken > limit:
            return text[:position]
    return text


def _width(letter: str) -> int:
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1
