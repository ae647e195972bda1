"""What a check of `metacli doctor` finds: lines to read, and problems."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """Something broken, and what to do about it."""

    what: str
    way_out: str


Findings = Iterator[str | Problem]
