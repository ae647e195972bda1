"""Which characters `glyphs` holds and in which split: decided by shape, once, and kept in glyphs.txt.

python -m metacli.data.glyph_choice

The candidates are taken in code-point order. One that looks the same as an earlier one is left out (Greek Alpha and
Cyrillic A after Latin A, o after O). Those that are alike turned (u and n, arrows), or whose names differ only by
style and "WITH ..." (K, k, K WITH DESCENDER; black and white TELEPHONE), are joined to a group, and a group goes
whole to one split. A candidate that would make a group larger than a limit is left out, or chains of likeness would
join nearly all.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np

from metacli.data.glyph_fonts import characters, font_files
from metacli.data.glyph_likeness import DESIGNS, likeness
from metacli.data.glyphs import CHOICE, Glyph
from metacli.data.table import SPLITS
from metacli.files import write_atomic

SAME = 0.94  # likeness upright from which two characters cannot both be classes
ALIKE = 0.87  # likeness turned from which two classes share a group

_LIMIT = 40  # classes in a group
_SHARES = np.array([0.60, 0.15, 0.25])  # of the classes, for train, val and test

# First and last code point, and a step that thins out blocks of many similar characters.
_BLOCKS = (
    (0x0030, 0x00FF, 1),  # digits, Latin, currencies
    (0x0100, 0x02AF, 1),  # Latin of other languages, phonetic letters
    (0x0370, 0x03FF, 1),  # Greek, Coptic
    (0x0400, 0x052F, 1),  # Cyrillic
    (0x0531, 0x058F, 1),  # Armenian
    (0x05D0, 0x05EA, 1),  # Hebrew
    (0x0621, 0x064A, 1),  # Arabic, in isolated forms
    (0x0660, 0x0669, 1),
    (0x0671, 0x06D3, 2),
    (0x07C0, 0x07EA, 1),  # N'Ko
    (0x0E81, 0x0EDD, 1),  # Lao
    (0x10A0, 0x10FF, 1),  # Georgian
    (0x1401, 0x1676, 2),  # Canadian syllabics
    (0x1680, 0x169C, 2),  # Ogham
    (0x20A0, 0x20CF, 1),  # currencies
    (0x2100, 0x214F, 1),  # letter-like symbols
    (0x2190, 0x21FF, 3),  # arrows
    (0x2200, 0x22FF, 2),  # mathematical operators
    (0x2300, 0x23FF, 4),  # technical symbols
    (0x25A0, 0x25FF, 2),  # geometric shapes
    (0x2600, 0x26FF, 1),  # symbols of weather, games, planets, ...
    (0x2701, 0x27BF, 2),  # ornaments
    (0x2C60, 0x2C7F, 1),  # Latin
    (0x2D00, 0x2D67, 1),  # Georgian, Tifinagh
    (0xA4D0, 0xA4FF, 1),  # Lisu
    (0xA640, 0xA69F, 1),  # Cyrillic
    (0x10300, 0x1031E, 1),  # Old Italic
)

_STYLES = frozenset({"BLACK", "CAPITAL", "HEAVY", "OUTLINED", "SMALL", "WHITE"})  # words of a name


def candidates() -> list[int]:
    """Letters, numbers and symbols of the blocks that two fonts hold, without accented and composed forms."""
    fonts = {name: characters(name, file) for name, file in font_files().items()}
    holders = Counter(code for held in fonts.values() for code in held)
    designed = frozenset().union(*(fonts[name] for name in DESIGNS))
    codes = (code for first, last, step in _BLOCKS for code in range(first, last + 1, step))
    return [code for code in codes if holders[code] >= 2 and code in designed and _stands_alone(chr(code))]


def choose(codes: Sequence[int]) -> list[Glyph]:
    """The classes among `codes` (ascending), each with its group and split."""
    upright, turned = likeness(codes)
    stems = np.array([_stem(code) for code in codes])
    group = np.full(len(codes), -1)
    kept: list[int] = []
    for new in range(len(codes)):
        if (upright[new, :new] >= SAME).any():
            continue
        akin = (turned[new, kept] >= ALIKE) | (stems[kept] == stems[new])
        members = np.flatnonzero((group >= 0) & np.isin(group, group[kept][akin]))
        if len(members) < _LIMIT:
            group[[*members, new]] = members.min(initial=new)
            kept.append(new)
    _, groups, sizes = np.unique(group[kept], return_inverse=True, return_counts=True)
    splits = _share_out(sizes)
    return [
        Glyph(splits[number], int(number), codes[index], unicodedata.name(chr(codes[index])))
        for index, number in zip(kept, groups, strict=True)
    ]


def write() -> None:
    lines = ["# split, group, code point, name; written by: python -m metacli.data.glyph_choice"]
    lines += [f"{glyph.split} {glyph.group} {glyph.code:04X} {glyph.name}" for glyph in choose(candidates())]
    write_atomic(CHOICE, "\n".join(lines) + "\n")


def _stands_alone(character: str) -> bool:
    category = unicodedata.category(character)
    return category[0] in "LNS" and category not in ("Lm", "Sk") and not unicodedata.decomposition(character)


def _stem(code: int) -> str:
    """The name without style and additions: CYRILLIC SMALL LETTER KA WITH HOOK -> CYRILLIC LETTER KA."""
    words = unicodedata.name(chr(code)).partition(" WITH ")[0].split()
    return " ".join(word for word in words if word not in _STYLES)


def _share_out(sizes: np.ndarray) -> list[str]:
    """A split for each group: in random order, each to the split that is least full for its share."""
    filled = np.zeros(len(SPLITS))
    splits = [""] * len(sizes)
    for group in np.random.Generator(np.random.PCG64(0)).permutation(len(sizes)):
        least = int(np.argmin((filled + sizes[group] / 2) / _SHARES))
        filled[least] += sizes[group]
        splits[group] = SPLITS[least]
    return splits


if __name__ == "__main__":
    write()
