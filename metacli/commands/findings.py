"""What a check of `metacli doctor` finds: lines to read, and problems."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something broken, and what to do about it."""

    what: str
    way_out: str


Findings = Iterator[str | Problem]


def size(count: int) -> str:
    """'26.1 MB' of bytes."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
