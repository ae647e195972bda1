"""Images as a user has them -> what a network was trained on."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from metacli.data.images import scaled
from metacli.errors import UserError

Images = np.ndarray | Tensor | str | os.PathLike[str] | Sequence[str | os.PathLike[str]]


@dataclass(frozen=True)
class ImageReader:
    """Images are one of

    - an array or tensor [N, H, W, C] of uint8, from 0 to 255;
    - an array or tensor [N, C, H, W] of floats, from 0 to 1;
    - the path of an image file, or a list of paths: files are cut to a square and resized as the data set's were.

    Arrays and tensors are taken as they are, so they must have the network's size and number of channels.

    shape: [C, H, W] of the network's images · decode: files -> [N, H, W, C], None where the data set has no files.
    """

    shape: tuple[int, ...]
    device: torch.device
    decode: Callable[[Sequence[str]], np.ndarray] | None
    what: ClassVar = "images"

    def __call__(self, images: Images) -> Tensor:
        """[N, C, H, W] float32 from 0 to 1, on the device. Raises UserError where the network cannot take them."""
        found = self._array(images)
        if not found.size:
            raise UserError("no images", "give at least one")
        if found.dtype == np.uint8:
            return scaled(torch.from_numpy(self._checked(found, last=True)).to(self.device))
        if found.dtype.kind == "f":
            return torch.from_numpy(_in_range(self._checked(found, last=False))).to(self.device)
        raise UserError(
            f"images of type {found.dtype}: neither uint8 from 0 to 255 nor floats from 0 to 1",
            'bytes of another type: images.astype("uint8")',
        )

    def _array(self, images: Images) -> np.ndarray:
        if isinstance(images, Tensor):
            plain = images.detach().cpu()
            return (plain.float() if plain.is_floating_point() else plain).numpy()
        if isinstance(images, np.ndarray) and images.dtype.kind not in "OU":
            return images
        return self._decoded(_files(images.tolist() if isinstance(images, np.ndarray) else images))

    def _decoded(self, files: list[str]) -> np.ndarray:
        channels, height, width = self.shape
        if self.decode is None:
            raise UserError(
                "file paths: the images of this run's data set never were files",
                f"give an array of uint8 [N, {height}, {width}, {channels}], as the data set has them",
            )
        if not files:
            return np.empty((0, height, width, channels), np.uint8)
        try:
            return self.decode(files)
        except UserError as error:
            raise UserError(error.problem, "mend the file, or leave it out") from error

    def _checked(self, images: np.ndarray, *, last: bool) -> np.ndarray:
        """The images, in one piece of memory. last: whether channels are the last axis or the second."""
        channels, height, width = self.shape
        wanted = (height, width, channels) if last else (channels, height, width)
        if images.shape[1:] == wanted:
            return np.require(images, requirements=("C", "W"))  # as torch wants it
        raise UserError(
            f"images {list(images.shape)}: the network takes [N, {', '.join(map(str, wanted))}] of {images.dtype}",
            self._way_out(images.shape, wanted, last=last),
        )

    def _way_out(self, given: tuple[int, ...], wanted: tuple[int, ...], *, last: bool) -> str:
        channels, *plane = self.shape
        if given == wanted:
            return "for one image: images[None]"
        if channels == 1 and list(given[1:]) == plane:
            return "give the channel an axis: " + ("images[..., None]" if last else "images[:, None]")
        if list(given[1:]) == ([channels, *plane] if last else [*plane, channels]):
            return "move the channels: numpy.moveaxis(images, " + ("1, -1)" if last else "-1, 1)")
        files = ", or give paths: files are decoded as the data set's were" if self.decode else ""
        return f"convert them to that size and number of channels{files}"


def _files(images: Images) -> list[str]:
    """Paths of files that are there."""
    given = [images] if isinstance(images, str | os.PathLike) else images
    strange = [
        one
        for one in (given if isinstance(given, Sequence) else [given])
        if not isinstance(one, str | os.PathLike)
    ]
    if strange:
        raise UserError(
            f"images: {type(strange[0]).__name__} is neither a path nor an array of several images",
            "give file paths, or one array: numpy.stack([numpy.asarray(image) for image in images])",
        )
    paths = [Path(one).expanduser() for one in given]
    for path in paths:
        if not path.is_file():
            raise UserError(f"{path}: no such file", "give paths of image files")
    return list(map(str, paths))


def _in_range(images: np.ndarray) -> np.ndarray:
    """float32. Raises UserError at what no pixel of a data set is."""
    if not np.isfinite(images).all():
        number = int(np.argwhere(~np.isfinite(images))[0, 0])
        raise UserError(f"images: number {number} holds NaN or an infinity", "leave it out, or mend it")
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 1:
        raise UserError(
            f"images: floats go from 0 to 1 and these from {low:.4g} to {high:.4g}",
            "divide bytes by 255, or give them as uint8; leave normalisation out: the network was trained without",
        )
    return images.astype(np.float32)
