"""What a data set hands over, before anything knows of torch: descriptions, tables and class splits.

A data set kind is a class with `describe() -> Description` (counts only, no pixels decoded, no torch) and
`build() -> Table`. Both see the same classes in the same order. One whose items are files of images also has
`read(files) -> images`, by which a trained network is shown others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from metacli.errors import UserError
from metacli.files import cache_folder, digest, load_arrays, save_arrays

if TYPE_CHECKING:  # a mistake in a config is answered sooner without it
    import numpy as np

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Description:
    """What the checker needs to know.

    shape: of one item, [C, H, W] or [D] · splits: split -> class name -> number of items; empty where items have
    no classes · kind: of its tasks.
    """

    shape: tuple[int, ...]
    splits: Mapping[str, Mapping[str, int]]
    kind: str = "classify"


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied, by default not at all.

    flip: mirror left to right · crop: pixels to shift by at most, every way · colour: share by which brightness,
    contrast and saturation change at most.
    """

    flip: bool = False
    crop: int = 0
    colour: float = 0.0


@dataclass(frozen=True)
class Table:
    """A labelled image set in memory.

    images [R, H, W, C] uint8 (ink or brightness = 255) · labels [R] int64 into `classes` · items [R] a name
    a row for prediction files · splits: split -> class ids [n] int64, pairwise disjoint · variants: so many
    consecutive classes of a split are forms of one thing, which an episode has at most once.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    items: tuple[str, ...]
    splits: Mapping[str, np.ndarray]
    kind: ClassVar = "classify"
    notes: tuple[str, ...] = ()  # said once in the log: images skipped, classes left out
    variants: int = 1
    augmentation: Augmentation = Augmentation()

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one item as a learner gets it, [C, H, W]."""
        height, width, channels = self.images.shape[1:]
        return channels, height, width

    @property
    def counts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "images": len(self.images),
            "classes": {split: len(ids) for split, ids in self.splits.items()},
        }

    @property
    def class_overlap(self) -> int:
        """How many classes stand in more than one split."""
        together = [int(c) for ids in self.splits.values() for c in ids]
        return len(together) - len(set(together))

    def outputs(self, ways: int) -> int:
        """What a predictor for episodes of so many classes puts out of each item."""
        return ways

    @property
    def split_fingerprint(self) -> str:
        """Changes when a class moves to another split."""
        return digest(*(f"{split}:{self.splits[split].tolist()}".encode() for split in SPLITS))

    @property
    def fingerprint(self) -> str:
        """Changes when any pixel, label or class name does; splits have no part in it."""
        import numpy as np

        return digest(
            np.ascontiguousarray(self.images).data,
            np.ascontiguousarray(self.labels).data,
            "\n".join(self.classes).encode(),
        )


def check_shape(split: str, ways: int, shots: int, queries: int, sizes: Mapping[str, int]) -> None:
    """Raises UserError where `sizes` (class -> items) has too few classes, or a class too few items."""
    if ways > len(sizes):
        raise UserError(
            f"episode.{split}.ways={ways}: the {split} split has {len(sizes)} classes",
            f"ask for at most {len(sizes)} ways, or change the class split"
            if sizes
            else "change the class split",
        )
    poorest = min(sizes, key=lambda name: sizes[name])
    if sizes[poorest] < shots + queries:
        short = sum(size < shots + queries for size in sizes.values())
        others = f" and {short - 1} more have" if short > 1 else " has"
        raise UserError(
            f"episode.{split}: {shots} shots + {queries} queries need {shots + queries} items a class; "
            f'class "{poorest}"{others} too few ({sizes[poorest]})',
            "ask for fewer shots or queries, or leave small classes out (imagefolder: dataset.min_images)",
        )


def split_classes(
    classes: Sequence[str], sizes: Sequence[float], seed: int, what: str = "classes"
) -> dict[str, np.ndarray]:
    """A seeded split over classes; `sizes` (train, val, test) are class counts, or fractions that sum to 1.

    Raises UserError where they do not fit the number of classes.
    """
    import numpy as np

    total = len(classes)
    counts = [int(size) for size in sizes]
    whole = counts == list(sizes)
    if all(0 < size < 1 for size in sizes) and abs(sum(sizes) - 1) < 1e-6:
        train, val = round(sizes[0] * total), max(1, round(sizes[1] * total))
        counts, whole = [train, val, total - train - val], True
    if len(counts) != 3 or not whole or min(counts) < 1 or sum(counts) > total:
        raise UserError(
            f"dataset.split_sizes={list(sizes)}: cannot split {total} {what} so",
            f"give three numbers of {what} (train, val, test), or three fractions that sum to 1",
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(total)
    ends = np.cumsum(counts)
    return {name: np.sort(order[end - n : end]) for name, n, end in zip(SPLITS, counts, ends, strict=True)}


def cached(name: str, key: str, build: Callable[[], Table], folder: Path | None = None) -> Table:
    """`build()`, or what an earlier `build()` under the same key left in the cache.

    A damaged file is rebuilt; where the cache can't be written the table is simply not kept.
    """
    path = (folder or cache_folder()) / f"{name}-{key}.safetensors"
    found = load_arrays(path)
    if found is not None:
        arrays, about = found
        return Table(
            images=arrays["images"],
            labels=arrays["labels"],
            classes=tuple(about["classes"].split("\n")),
            items=tuple(about["items"].split("\n")),
            splits={split: arrays[f"split.{split}"] for split in SPLITS},
            notes=tuple(about["notes"].split("\n")) if about["notes"] else (),
        )
    table = build()
    arrays = {"images": table.images, "labels": table.labels}
    arrays |= {f"split.{split}": ids for split, ids in table.splits.items()}
    about = {
        "classes": "\n".join(table.classes),
        "items": "\n".join(table.items),
        "notes": "\n".join(table.notes),
    }
    with contextlib.suppress(UserError):
        save_arrays(path, arrays, about)
    return table
