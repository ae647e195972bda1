"""Your own images: a folder with one folder a class, or a CSV of paths and labels.

metacli train dataset=imagefolder dataset.root=photos/ dataset.size=84
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from metacli.data.class_split import split_of_folders, split_of_json
from metacli.data.decode import CHANNELS, DECODER, decode, decode_files
from metacli.data.photos import Photo, few, photo_stamp, photos_of_csv, photos_of_folders
from metacli.data.table import SPLITS, Augmentation, Description, Table, cached, split_classes, split_items
from metacli.errors import UserError
from metacli.files import digest

_VERSION = f"imagefolder 2, decoder {DECODER}"


class _Listing(NamedTuple):
    photos: list[Photo]  # by class, then by path
    classes: list[str]
    small: list[str]  # classes of fewer than min_images, absent from both
    notes: tuple[str, ...]


class ImageFolder:
    """Images [size, size, C] from files of any size and colour mode; the folder a file lies in is its class.

    A class is named by its path below `root`, say "Fruit/Apple". A top layer train / val / test (also valid,
    validation, dev) is no part of the name: the same class in two of them is one class. `csv` names a file
    with the columns path and label (and split, where `split` asks for it) to read instead; its paths are
    relative to `root`, or to its own folder where `root` is empty.

    `split`: "seeded" draws `split_sizes` classes by `split_seed`; "folders" takes the top layer as the class
    split; anything else is a JSON file {"train": [class, …], "val": […], "test": […]}. `split_by`: "item" has them
    share the classes: of each, those of its images that the top layer says, or `split_sizes` of them, drawn. Classes
    of fewer than `min_images` images are left out. `augment_…` say how training images are varied.
    """

    def __init__(
        self,
        *,
        root: str,
        csv: str | None,
        size: int,
        mode: Literal["rgb", "gray"],
        split_by: Literal["class", "item"],
        split: str,
        split_sizes: Sequence[float],
        split_seed: int,
        min_images: int,
        on_error: Literal["raise", "skip"],
        augment_flip: bool,
        augment_crop: int,
        augment_colour: float,
    ) -> None:
        self.root = root
        self.csv = csv
        self.size = size
        self.mode = mode
        self.split_by = split_by
        self.split = split
        self.split_sizes = split_sizes
        self.split_seed = split_seed
        self.min_images = min_images
        self.on_error = on_error
        self.augmentation = Augmentation(augment_flip, augment_crop, augment_colour)

    def describe(self) -> Description:
        """Counts from the file names alone, so what `build` has to skip is counted too.

        Raises UserError where the data, the CSV or the split are missing or do not fit together.
        """
        listing = self._listing()
        counts = Counter(photo.label for photo in listing.photos)
        shape = (CHANNELS[self.mode], self.size, self.size)
        if self.split_by == "item":
            parts = self._parts(listing, [photo.path for photo in listing.photos]).values()
            each = [Counter(listing.photos[row].label for row in rows) for rows in parts]
            return Description(shape=shape, splits=dict(zip(SPLITS, each, strict=True)))
        splits = {
            split: {listing.classes[index]: counts[listing.classes[index]] for index in ids}
            for split, ids in self._splits(listing).items()
        }
        return Description(shape=shape, splits=splits)

    def build(self) -> Table:
        """The images themselves.

        Raises UserError as `describe` does, and at an unreadable image unless `on_error` is "skip". A class
        that skipping brings below `min_images` is taken out of its split.
        """
        listing = self._listing()
        splits = {} if self.split_by == "item" else self._splits(listing)
        settings = (_VERSION, str(self._root.resolve()), str(self.size), self.mode, self.on_error)
        stamps = (photo_stamp(self._root, photo) for photo in listing.photos)
        key = digest("\n".join((*settings, *stamps)).encode())
        table = cached("imagefolder", key, lambda: self._decoded(listing))
        # The splits come after the cache: one file serves every split of the same images.
        enough = np.bincount(table.labels, minlength=len(table.classes)) >= self.min_images
        thin = [name for name, good in zip(table.classes, enough, strict=True) if not good]
        parts = self._parts(listing, table.items) if self.split_by == "item" else {}
        splits |= {split: np.unique(table.labels[rows]) for split, rows in parts.items()}
        return replace(
            table,
            splits={split: ids[enough[ids]] for split, ids in splits.items()},
            parts=parts,
            notes=listing.notes + table.notes + _left_out(thin, f"dataset.min_images={self.min_images}"),
            augmentation=self.augmentation,
        )

    def read(self, files: Sequence[str]) -> np.ndarray:
        """Other images [N, size, size, C], decoded as `build` does. Raises UserError at an unreadable one."""
        return decode_files(files, size=self.size, mode=self.mode)

    @property
    def _root(self) -> Path:
        return Path(self.root or Path(self.csv or "").parent).expanduser()

    def _located(self, name: str) -> Path:
        """A file given as it is or as it lies below the root."""
        path = Path(name).expanduser()
        return path if path.exists() else self._root / path

    def _listing(self) -> _Listing:
        if self.csv:
            photos, notes = photos_of_csv(self._located(self.csv), self._root)
        else:
            photos, notes = photos_of_folders(self._root if self.root else None)
        counts = Counter(photo.label for photo in photos)
        small = sorted(label for label, count in counts.items() if count < self.min_images)
        if len(small) == len(counts):
            raise UserError(
                f"dataset.min_images={self.min_images}: the largest class has {max(counts.values())} images",
                "lower dataset.min_images, or give the classes more images",
            )
        kept = [photo for photo in photos if counts[photo.label] >= self.min_images]
        return _Listing(
            photos=sorted(kept, key=lambda photo: (photo.label, photo.path)),
            classes=sorted(counts.keys() - set(small)),
            small=small,
            notes=notes + _left_out(small, f"dataset.min_images={self.min_images}"),
        )

    def _splits(self, listing: _Listing) -> dict[str, np.ndarray]:
        if self.split == "seeded":
            return split_classes(listing.classes, self.split_sizes, self.split_seed)
        if self.split == "folders":
            members = split_of_folders(listing.photos)
        else:
            members = split_of_json(self._located(self.split), [*listing.classes, *listing.small])
        return {
            split: np.array([i for i, name in enumerate(listing.classes) if members[name] == split], np.int64)
            for split in SPLITS
        }

    def _parts(self, listing: _Listing, paths: Sequence[str]) -> dict[str, np.ndarray]:
        """Of the images at `paths`, the rows of each split, where splits share classes."""
        photos = {photo.path: photo for photo in listing.photos}
        if self.split == "folders":
            given = np.array([photos[path].split for path in paths])
            outside = np.flatnonzero(given == "")
            if len(outside):
                raise UserError(
                    f"dataset.split=folders: {paths[outside[0]]} is in none of train, val and test",
                    "use these names for the top folders (or in the CSV's split column), or set dataset.split=seeded",
                )
            return {split: np.flatnonzero(given == split) for split in SPLITS}
        if self.split != "seeded":
            raise UserError(
                f"dataset.split={self.split}: a list of classes cannot split the images of a class",
                "dataset.split=seeded or folders, or dataset.split_by=class",
            )
        ids = {name: index for index, name in enumerate(listing.classes)}
        labels = np.array([ids[photos[path].label] for path in paths], np.int64)
        return split_items(labels, self.split_sizes, self.split_seed)

    def _decoded(self, listing: _Listing) -> Table:
        """Every image, no split made yet."""
        paths = [photo.path for photo in listing.photos]
        images, kept, notes = decode(
            paths,
            lambda path: (self._root / path).read_bytes(),
            size=self.size,
            mode=self.mode,
            on_error=self.on_error,
        )
        ids = {name: index for index, name in enumerate(listing.classes)}
        labels = np.array([ids[listing.photos[row].label] for row in kept], np.int64)
        items = tuple(paths[row] for row in kept)
        return Table(
            images=images,
            labels=labels,
            classes=tuple(listing.classes),
            items=items,
            splits={split: np.empty(0, np.int64) for split in SPLITS},
            notes=notes + _twins(images, labels, items),
        )


def _twins(images: np.ndarray, labels: np.ndarray, items: Sequence[str]) -> tuple[str, ...]:
    """A note on images that two classes share, by a link or as a copy: they may stand in different splits."""
    first: dict[str, int] = {}
    pairs = [
        (row, twin)
        for row, image in enumerate(images)
        if labels[twin := first.setdefault(digest(image.data), row)] != labels[row]
    ]
    if not pairs:
        return ()
    row, twin = pairs[0]
    return (f"images that another class has too: {len(pairs)}, the first is {items[row]}, as {items[twin]}",)


def _left_out(classes: Sequence[str], setting: str) -> tuple[str, ...]:
    return (f"classes with fewer images than {setting} are left out: {few(classes)}",) if classes else ()
