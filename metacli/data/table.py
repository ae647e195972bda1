"""What a data set hands over, before anything knows of torch: descriptions, tables and class splits.

A data set kind is a class with `describe() -> Description` (counts only, no pixels decoded, no torch) and
`build() -> Table`. Both see the same classes in the same order. One whose items are files of images also has
`read(files) -> images`, by which a trained network is shown others.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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

    shape: of one item, [C, H, W] or [D]; empty where it is a text, which has one once it is tokens · splits: split ->
    class name -> number of items; empty where items have no classes · kind: of its tasks · outside: whether there are
    items of no class, too, which validation episodes choose a threshold for.
    """

    shape: tuple[int, ...]
    splits: Mapping[str, Mapping[str, int]]
    kind: str = "classify"
    outside: bool = False

    @property
    def form(self) -> str:
        """What an item is: text, vector or image."""
        return {0: "text", 1: "vector", 3: "image"}[len(self.shape)]


@dataclass(frozen=True)
class Augmentation:
    """How training images are varied, by default not at all.

    flip: mirror left to right · crop: pixels to shift by at most, every way · colour: share by which brightness,
    contrast and saturation change at most.
    """

    flip: bool = False
    crop: int = 0
    colour: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Items in memory, each of one class.

    labels [R] int64 into `classes` · items [R] a name a row for prediction files · splits: split -> class ids [n]
    int64 · parts: split -> its rows [n], ascending, where splits share classes; else a split has all items of its own
    · outside: split -> rows of items that are of no class (label −1), to be told from those of an episode · variants:
    so many consecutive classes of a split are forms of one thing, which an episode has at most once · form: what an
    item is.
    """

    labels: np.ndarray
    classes: tuple[str, ...]
    items: tuple[str, ...]
    splits: Mapping[str, np.ndarray]
    parts: Mapping[str, np.ndarray] = field(default_factory=dict)
    outside: Mapping[str, np.ndarray] = field(default_factory=dict)
    kind: ClassVar = "classify"
    form: ClassVar = "image"
    notes: tuple[str, ...] = ()  # said once in the log: items skipped, classes left out
    variants: int = 1
    augmentation: Augmentation = Augmentation()

    def rows(self, split: str) -> np.ndarray:
        """Of all items of a split, ascending."""
        import numpy as np

        found = np.flatnonzero(np.isin(self.labels, self.splits[split]))
        return np.intersect1d(found, self.parts[split]) if split in self.parts else found

    @property
    def counts(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "items": len(self.labels),
            "classes": {split: len(ids) for split, ids in self.splits.items()},
        }

    @property
    def class_overlap(self) -> int:
        """How many classes stand in more than one split."""
        together = Counter(int(c) for ids in self.splits.values() for c in ids)
        return sum(count > 1 for count in together.values())

    def outputs(self, ways: int) -> int:
        """What a predictor for episodes of so many classes puts out of each item."""
        return ways

    @property
    def content(self) -> bytes | memoryview:
        """All of the items: texts are their own names."""
        return "\n".join(self.items).encode()

    @property
    def fingerprint(self) -> str:
        """Changes when any item, label or class name does; splits have no part in it."""
        import numpy as np

        labels = np.ascontiguousarray(self.labels).data
        return digest(self.content, labels, "\n".join(self.classes).encode())

    @property
    def split_fingerprint(self) -> str:
        """Changes when a class moves to another split, or an item where splits share classes."""
        classes = [f"{split}:{self.splits[split].tolist()}" for split in SPLITS]
        parts = [f"{split}:{rows.tolist()}" for split, rows in self.parts.items()]
        return digest(*(text.encode() for text in classes + parts))


@dataclass(frozen=True, kw_only=True)
class Table(Labelled):
    """A labelled image set in memory. images [R, H, W, C] uint8 (ink or brightness = 255)."""

    images: np.ndarray

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one item as a learner gets it, [C, H, W]."""
        height, width, channels = self.images.shape[1:]
        return channels, height, width

    @property
    def counts(self) -> dict[str, Any]:
        kept = super().counts
        return {"images": kept.pop("items"), **kept}

    @property
    def content(self) -> bytes | memoryview:
        """All of the items."""
        import numpy as np

        return np.ascontiguousarray(self.images).data


def leaked(what: str, texts: Sequence[str], parts: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """A note on texts that stand in two splits: the test would know the training. what: "texts" or "sentences"."""
    first: dict[str, str] = {}
    found = [
        texts[row]
        for split, rows in parts.items()
        for row in rows.tolist()
        if first.setdefault(texts[row], split) != split
    ]
    return (f'{what} that stand in two splits: {len(found)}, the first "{found[0]}"',) if found else ()


def check_shape(split: str, ways: int, shots: int, queries: int, sizes: Mapping[str, int]) -> None:
    """Raises UserError where `sizes` (class -> items) has too few classes, or a class too few items."""
    if ways > len(sizes):
        raise UserError(
            f"episode.{split}.ways={ways}: the {split} split has {len(sizes)} classes",
            f"ask for at most {len(sizes)} ways, or change the class split"
            if sizes
            else f"dataset.split and dataset.split_sizes say which classes {split} has: give it some",
        )
    poorest = min(sizes, key=lambda name: sizes[name])
    if sizes[poorest] < shots + queries:
        short = sum(size < shots + queries for size in sizes.values())
        others = f" and {short - 1} more have" if short > 1 else " has"
        raise UserError(
            f"episode.{split}: {shots} shots + {queries} queries need {shots + queries} items a class; "
            f'class "{poorest}"{others} too few ({sizes[poorest]})',
            f"lower episode.{split}.shots or .queries, or leave small classes out "
            "(imagefolder: dataset.min_images, text: dataset.min_texts)",
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


def split_items(labels: np.ndarray, sizes: Sequence[float], seed: int) -> dict[str, np.ndarray]:
    """A seeded split over the items of every class: split -> its rows, ascending. sizes: fractions (train, val, test).

    Raises UserError where they are no fractions that sum to 1.
    """
    import numpy as np

    if len(sizes) != 3 or not all(0 < size < 1 for size in sizes) or abs(sum(sizes) - 1) > 1e-6:
        raise UserError(
            f"dataset.split_sizes={list(sizes)}: no shares of the items of a class",
            "where splits share classes (split_by=item) give three fractions that sum to 1",
        )
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(labels))
    parts: dict[str, list[np.ndarray]] = {split: [] for split in SPLITS}
    for c in np.unique(labels[labels >= 0]):
        rows = order[labels[order] == c]
        ends = np.rint(np.cumsum(sizes) * len(rows)).astype(int)
        for split, part in zip(SPLITS, np.split(rows, ends[:-1]), strict=True):
            parts[split].append(part)
    return {split: np.sort(np.concatenate(rows)) for split, rows in parts.items()}


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
