"""The fonts that matplotlib ships: which files, which characters each one holds, and the ink it leaves."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from metacli.files import digest

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont

# Placeholders (LastResort), pieces of tall brackets and private code points (STIXSiz*, STIXNonUni*, *Display),
# and Computer Modern fonts whose letters are calligraphic or absent.
_UNFIT = ("LastResort", "STIXSiz", "STIXNonUni", "DejaVuSansDisplay", "DejaVuSerifDisplay", "cmsy", "cmex")


def font_files() -> dict[str, Path]:
    """Name -> file, in the order of the names; found without importing matplotlib, which is slow."""
    package = find_spec("matplotlib")
    assert package, "matplotlib is a dependency of metacli"
    assert package.origin
    folder = Path(package.origin).parent / "mpl-data" / "fonts" / "ttf"
    if not folder.is_dir():  # some Linux distributions keep the data elsewhere
        import matplotlib

        folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return {file.stem: file for file in sorted(folder.glob("*.ttf")) if not file.stem.startswith(_UNFIT)}


def characters(font: str, file: Path) -> frozenset[int]:
    """The code points for which a font has a glyph of its own."""
    from matplotlib.ft2font import FT2Font

    held = frozenset(FT2Font(str(file)).get_charmap())
    if font.startswith("cm"):  # all but their basic letters stand at code points of other characters
        return frozenset(code for code in held if chr(code).isascii() and chr(code).isalpha())
    return held


def open_font(file: Path, pixels: int) -> "FreeTypeFont":
    """A font at `pixels` to the em."""
    from PIL import ImageFont

    # The other layout engine joins and reorders letters, and not every machine has it.
    return ImageFont.truetype(str(file), pixels, layout_engine=ImageFont.Layout.BASIC)


def ink(character: str, font: "FreeTypeFont", *, stroke: float) -> "Image":
    """The character in white on black, cut to its ink; `stroke` of its longer side is added on every edge."""
    from PIL import Image, ImageDraw

    left, top, right, bottom = font.getbbox(character)
    width = round(stroke * max(right - left, bottom - top))
    margin = width + 2
    canvas = Image.new("L", (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin))
    ImageDraw.Draw(canvas).text(
        (margin - left, margin - top), character, fill=255, font=font, stroke_width=width
    )
    return canvas.crop(canvas.getbbox())


def fonts_digest() -> str:
    """Changes when any of the fonts does."""
    return digest(*(file.read_bytes() for file in font_files().values()))
