"""Encoded images into one uint8 array: any size, colour mode and orientation becomes an upright square."""

import io
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps, UnidentifiedImageError

from metacli.errors import UserError

CHANNELS = {"gray": 1, "rgb": 3}
DECODER = f"1, Pillow {PIL.__version__}"  # part of every cache key: raise the number when a pixel can change

# The formats are named so that a file's content can't call up one of Pillow's other, riskier readers.
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
_UNREADABLE = (  # what its readers, and a zip's, raise on damaged files
    OSError,
    EOFError,
    SyntaxError,  # Pillow's word for a broken PNG
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
    Image.DecompressionBombError,
)


def decode(
    names: Sequence[str], read: Callable[[str], bytes], *, size: int, mode: str, on_error: str
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The images [R, size, size, C] that can be read, their positions [R] in `names`, a note on the others.

    `read` gives the bytes of one name. Raises UserError at the first unreadable image, with `on_error` "skip"
    only where there is no other.
    """
    images = np.empty((len(names), size, size, CHANNELS[mode]), np.uint8)

    def fill(position: int) -> bool:
        try:
            images[position] = square(read(names[position]), size=size, mode=mode)
        except _UNREADABLE as error:
            if on_error == "skip":
                return False
            raise UserError(
                f"cannot read the image {names[position]}: {_reason(error)}",
                "mend or remove the file, or leave out all such files with dataset.on_error=skip",
            ) from error
        return True

    with warnings.catch_warnings(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # Pillow's remarks on metadata and large photos change no pixel
        readable = np.fromiter(pool.map(fill, range(len(names))), bool, len(names))
    skipped = [name for name, good in zip(names, readable, strict=True) if not good]
    if not skipped:
        return images, np.arange(len(names)), ()
    if len(skipped) == len(names):
        raise UserError(f"none of the {len(names)} images can be read", "see why with dataset.on_error=raise")
    some = ", ".join(skipped[:3]) + (", …" if len(skipped) > 3 else "")
    note = f"{len(skipped)} of {len(names)} images cannot be read and are left out: {some}"
    return images[readable], np.flatnonzero(readable), (note,)


def decode_files(files: Sequence[str], *, size: int, mode: str) -> np.ndarray:
    """The images [N, size, size, C] in `files`. Raises UserError at the first unreadable one."""
    images, _, _ = decode(files, lambda file: Path(file).read_bytes(), size=size, mode=mode, on_error="raise")
    return images


def square(content: bytes, *, size: int, mode: str) -> np.ndarray:
    """One encoded image as [size, size, C] uint8: turned upright, its centre square cut out, then resized."""
    with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
        image.draft(None, (4 * size, 4 * size))  # a JPEG much larger than that is decoded at a fraction
        ImageOps.exif_transpose(image, in_place=True)
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        plain = _plain(image.crop((left, top, left + side, top + side)), "L" if mode == "gray" else "RGB")
    # Only now resize: Pillow would silently fall back to nearest neighbour on 1-bit and palette images.
    small = plain.resize((size, size), Image.Resampling.LANCZOS)
    return np.asarray(small).reshape(size, size, CHANNELS[mode])


def _plain(image: Image.Image, mode: str) -> Image.Image:
    """8-bit gray ("L") or "RGB", transparent parts on white."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers, which have no fixed range")
    if image.mode.startswith("I"):  # 16 bits a pixel; Pillow itself would clip these to white
        deep = np.asarray(image).astype(np.int64)
        if deep.min() < 0 or deep.max() > 65535:
            raise ValueError("its pixels have 32 bits, which have no fixed range")
        image = Image.fromarray(((deep + 128) // 257).astype(np.uint8))
    if image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its own text is the address of a buffer
        return f"it is empty, damaged at its head or none of {', '.join(_FORMATS)}"
    return str(error) or type(error).__name__
