"""Glyphs: characters of many scripts, drawn from the fonts that matplotlib ships. No download, seconds to build.

metacli train dataset=glyphs
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from metacli.data.glyph_fonts import characters, font_files, fonts_digest, ink, open_font
from metacli.data.table import SPLITS, Description, Table, cached
from metacli.errors import UserError
from metacli.files import digest

if TYPE_CHECKING:
    import numpy as np
    from PIL.ImageFont import FreeTypeFont

CHOICE = Path(__file__).with_name("glyphs.txt")  # written by glyph_choice.py
_VERSION = "glyphs 1"  # part of the cache key: raise the number when a pixel can change

# Strong enough that the nearest class mean of raw pixels is right in 55 % of a 5-way 1-shot task over test
# classes, where a small ProtoNet reaches 97 %.
_ROTATION = 15.0  # degrees, either way
_SHEAR = 0.25
_STRETCH = 0.30  # width against height, as a logarithm
_FILL = (0.65, 0.90)  # longer side of the ink's box, of the image's side
_SHIFT = 0.08  # either way, of the image side
_STROKE = 0.04  # added on every edge, of the longer side of the ink's box


class Glyphs:
    """Images [size, size, 1] with ink = 255; a character is a class, named "U+0416 CYRILLIC CAPITAL LETTER ZHE".

    Every image is one character in a random one of the DejaVu, STIX and Computer Modern fonts that hold it,
    rotated, sheared, stretched, shifted and thickened at random; it depends on `seed`, the character and its
    number alone. The splits are fixed and disjoint by shape: characters that look alike in any type design, be
    it after a quarter turn or in a mirror, share a split, and of those that can't be told apart (A of Latin,
    Greek and Cyrillic, or O and o) only one is a class. glyph_likeness.py says how likeness is measured,
    glyph_choice.py what follows from it.
    """

    def __init__(self, *, size: int, per_class: int, seed: int) -> None:
        self.size = size
        self.per_class = per_class
        self.seed = seed

    def describe(self) -> Description:
        """Counts from the list of characters; no font is opened."""
        splits = {
            split: {glyph.title: self.per_class for glyph in chosen() if glyph.split == split}
            for split in SPLITS
        }
        return Description(shape=(1, self.size, self.size), splits=splits)

    def build(self) -> Table:
        """`per_class` images of every character, from the cache where they have been drawn before."""
        import numpy as np  # not at the top: a mistake in a config is answered without it
        import PIL
        from PIL import features

        drawn_by = (
            f"Pillow {PIL.__version__}, FreeType {features.version('freetype2')}, numpy {np.__version__}"
        )
        settings = f"{_VERSION}, {drawn_by}, size {self.size}, per_class {self.per_class}, seed {self.seed}"
        key = digest(settings.encode(), CHOICE.read_bytes(), fonts_digest().encode())
        return cached("glyphs", key, self._drawn)

    def _drawn(self) -> Table:
        import numpy as np

        glyphs = chosen()
        fonts = {
            name: (characters(name, file), open_font(file, 3 * self.size))
            for name, file in font_files().items()
        }
        images = np.empty((len(glyphs), self.per_class, self.size, self.size, 1), np.uint8)
        items = []
        for label, glyph in enumerate(glyphs):
            able = [name for name, (held, _) in fonts.items() if glyph.code in held]
            if not able:
                raise UserError(
                    f"dataset=glyphs: the installed matplotlib ships no font with {glyph.title}",
                    "install matplotlib from its published wheel, 3.9 or later",
                )
            for index in range(self.per_class):
                random = np.random.Generator(np.random.PCG64([self.seed, glyph.code, index]))
                name = able[random.integers(len(able))]
                images[label, index, :, :, 0] = _draw(chr(glyph.code), fonts[name][1], self.size, random)
                items.append(f"U+{glyph.code:04X} {name} {index:02d}")
        return Table(
            images=images.reshape(-1, self.size, self.size, 1),
            labels=np.repeat(np.arange(len(glyphs), dtype=np.int64), self.per_class),
            classes=tuple(glyph.title for glyph in glyphs),
            items=tuple(items),
            splits={split: np.flatnonzero([glyph.split == split for glyph in glyphs]) for split in SPLITS},
        )


@dataclass(frozen=True)
class Glyph:
    """One class. `group` is shared by characters that look alike; its split is one."""

    split: str
    group: int
    code: int  # point of Unicode
    name: str

    @property
    def title(self) -> str:
        return f"U+{self.code:04X} {self.name}"


@functools.cache
def chosen() -> tuple[Glyph, ...]:
    """The classes in order, as glyph_choice.py wrote them down."""
    rows = (line.split(maxsplit=3) for line in CHOICE.read_text().splitlines() if not line.startswith("#"))
    return tuple(Glyph(split, int(group), int(code, 16), name) for split, group, code, name in rows)


def _draw(character: str, font: FreeTypeFont, size: int, random: np.random.Generator) -> np.ndarray:
    """One random variation as [size, size] uint8, drawn at twice the size and averaged down."""
    import numpy as np
    from PIL import Image

    angle, shear, stretch = random.uniform(-1, 1, 3) * (np.radians(_ROTATION), _SHEAR, _STRETCH)
    drawn = ink(character, font, stroke=random.uniform(0, _STROKE))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = turn @ [[1, shear], [0, 1]] @ np.diag([np.exp(stretch / 2), np.exp(-stretch / 2)])
    side = 2 * size
    box = np.abs(linear) @ drawn.size  # width and height after turning
    scale = random.uniform(*_FILL) * side / box.max()
    room = (side - scale * box) / 2  # the ink stays inside
    shift = random.uniform(-1, 1, 2) * np.minimum(_SHIFT * side, room)
    back = np.linalg.inv(scale * linear)  # Pillow asks where each pixel comes from
    origin = np.array(drawn.size) / 2 - back @ (side / 2 + shift)
    coefficients = (*back[0], origin[0], *back[1], origin[1])
    large = drawn.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.asarray(large.reduce(2))
