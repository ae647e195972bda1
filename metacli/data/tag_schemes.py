"""How tags say where entities are: IO, IOB1, BIO2, BIOES, BMES and types alone, all read into the same two things.

Of each word: its type ("" outside of entities), and whether an entity begins at it. Tjong Kim Sang & Veenstra,
"Representing Text Chunks", EACL 1999, compare the first of them.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

Scheme = Literal["io", "iob1", "bio2", "bioes", "bmes", "types"]

# scheme -> its prefixes, and those at which an entity begins whatever stands before it
_PREFIXES: dict[str, tuple[str, str]] = {
    "io": ("I", ""),
    "iob1": ("BI", "B"),
    "bio2": ("BI", "B"),
    "bioes": ("BIES", "BS"),
    "bmes": ("BMES", "BS"),
}
_LAST = "ES"  # after these the next entity begins, of the same type too


class Tagged(NamedTuple):
    """types: "" = O · starts: an entity begins · mended: tags that no entity led to, which begin one here."""

    types: tuple[str, ...]
    starts: tuple[bool, ...]
    mended: int


def split_tag(tag: str, scheme: Scheme) -> tuple[str, str]:
    """'B-LOC' -> ('B', 'LOC'), 'O' -> ('O', ''). Raises ValueError, which says what is wrong with it."""
    if tag == "O":
        return "O", ""
    if scheme == "types":
        return "I", tag
    prefix, hyphen, kind = tag.partition("-")
    allowed, _ = _PREFIXES[scheme]
    if len(prefix) != 1 or prefix not in allowed:
        others = [name for name, (letters, _) in _PREFIXES.items() if len(prefix) == 1 and prefix in letters]
        known = f"; dataset.scheme={' or '.join(others)} has it" if others and hyphen else ""
        raise ValueError(f'tag "{tag}" is none of scheme {scheme}: O, {"-TYPE, ".join(allowed)}-TYPE{known}')
    if not kind:
        raise ValueError(f'tag "{tag}" is without its type: {prefix}-TYPE')
    return prefix, kind


def entities(tags: Sequence[tuple[str, str]], scheme: Scheme) -> Tagged:
    """tags: of one sentence, by `split_tag`.

    As conlleval does it, a tag that should go on with an entity and does not begins one: no word is lost.
    """
    _, firsts = _PREFIXES.get(scheme, ("", ""))
    starts, mended = [], 0
    before, kind_before = "O", ""
    for prefix, kind in tags:
        follows = bool(kind) and kind == kind_before and before not in _LAST
        first = bool(firsts) and prefix in firsts
        starts.append(bool(kind) and (first or not follows))
        if kind and not follows and not first and scheme in ("bio2", "bioes", "bmes"):
            mended += 1
        before, kind_before = prefix, kind
    return Tagged(tuple(kind for _, kind in tags), tuple(starts), mended)
