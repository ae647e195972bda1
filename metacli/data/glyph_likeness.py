"""How alike characters look, measured on the fonts that draw them.

Each character is drawn in every type design, centred and scaled by the mean and the spread of its ink, and described
by how much edge of four directions lies in each cell of a 12 x 12 grid. The likeness of two characters is the
correlation of their descriptions, at its largest over all pairs of designs; "turned" also over quarter turns and
mirror images of one of them. Same outlines give 1; A and O about 0.5.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from metacli.data.glyph_fonts import characters, font_files, ink, open_font

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

# One face of each type design: bold and slanted faces have the same shapes, italics their own.
DESIGNS = (
    "DejaVuSans",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Italic",
    "STIXGeneral",
    "STIXGeneralItalic",
    "cmr10",
    "cmti10",
)

_CELLS = 12  # of the grid, along each side
_SPREAD = 4.5  # standard deviation of the ink, in pixels of a picture of 24 x 24


def likeness(codes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Upright and turned likeness, [C, C] each, for C characters of which a design holds every one."""
    pictures, owners = _pictures(codes)  # [P, 24, 24], [P] ascending
    starts = np.searchsorted(owners, np.arange(len(codes)))
    reference = _edges(pictures)

    def best(images: np.ndarray) -> np.ndarray:
        """[C, C]: the largest over the designs of both characters."""
        pairs = _edges(images) @ reference.T
        return np.maximum.reduceat(np.maximum.reduceat(pairs, starts, axis=0), starts, axis=1)

    upright = best(pictures)
    turned = upright
    for images in (pictures, pictures[:, :, ::-1]):
        for quarters in range(4):
            turned = np.maximum(turned, best(np.rot90(images, quarters, axes=(1, 2))))
    return upright, np.maximum(turned, turned.T)


def _pictures(codes: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Every character in every design that holds it, [P, 24, 24], and its position in `codes`, [P]."""

    def rows() -> Iterator[tuple[np.ndarray, int]]:
        files = font_files()
        designs = [(characters(name, files[name]), open_font(files[name], 96)) for name in DESIGNS]
        for position, code in enumerate(codes):
            for held, font in designs:
                if code in held:
                    yield _picture(chr(code), font), position

    pictures, owners = zip(*rows(), strict=True)
    return np.stack(pictures), np.array(owners)


def _picture(character: str, font: "FreeTypeFont") -> np.ndarray:
    """[24, 24], the ink centred on its mean and scaled by its spread; width against height only half-way."""
    from PIL import Image, ImageFilter

    drawn = ink(character, font, stroke=0)
    weight = np.asarray(drawn, np.float64) / np.asarray(drawn, np.float64).sum()
    mean, spread = np.empty(2), np.empty(2)  # of x, of y
    for axis in (0, 1):
        profile, place = weight.sum(axis), np.arange(weight.shape[1 - axis]) + 0.5
        mean[axis] = profile @ place
        spread[axis] = 1 + np.sqrt(profile @ (place - mean[axis]) ** 2)  # no stroke is infinitely thin
    step = np.sqrt(spread * np.sqrt(spread.prod())) / _SPREAD  # pixels of the drawing for one of the picture
    side = 2 * _CELLS
    origin = mean - step * side / 2
    smooth = drawn.filter(ImageFilter.GaussianBlur(float(0.8 * np.sqrt(step.prod()))))
    coefficients = (step[0], 0, origin[0], 0, step[1], origin[1])
    picture = smooth.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return np.asarray(picture, np.float32)


def _edges(pictures: np.ndarray) -> np.ndarray:
    """[P, 24, 24] -> descriptions [P, 4 * 12 * 12] whose products are correlations."""
    down, right = np.gradient(pictures, axis=(1, 2))
    strength = np.hypot(down, right) + 1e-6
    # The doubled angle is the same for an edge and its reverse; the four directions are its half axes.
    level, slanted = (right**2 - down**2) / strength, 2 * right * down / strength
    edges = np.maximum(0, np.stack([level, -level, slanted, -slanted], axis=1))  # [P, 4, 24, 24]
    cells = edges.reshape(-1, 4, _CELLS, 2, _CELLS, 2).mean(axis=(3, 5))
    # Spread over the neighbouring cells, so that a small shift costs little.
    blur = (2 * np.eye(_CELLS) + np.eye(_CELLS, k=1) + np.eye(_CELLS, k=-1)) / 4
    flat = (blur @ cells @ blur).reshape(len(cells), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)
