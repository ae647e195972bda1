"""Your own images: a folder with one folder a class, or a CSV of paths and labels.

metacli train dataset=imagefolder dataset.root=photos/ dataset.size=84
"""

import csv
import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from metacli.data.decode import CHANNELS, DECODER, decode
from metacli.data.table import SPLITS, Description, Table, cached, split_classes
from metacli.errors import UserError, suggest
from metacli.files import digest

_VERSION = f"imagefolder 1, decoder {DECODER}"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm")
_SPLIT_NAMES = {"train": "train", "test": "test"} | dict.fromkeys(
    ("val", "valid", "validation", "dev"), "val"
)


class _Photo(NamedTuple):
    path: str  # below the root, with "/"
    label: str
    split: str  # what its top folder or its line in the CSV says; "" where that is no split


class _Listing(NamedTuple):
    photos: list[_Photo]  # by class, then by path
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
    split; anything else is a JSON file {"train": [class, …], "val": […], "test": […]}. Classes of fewer than
    `min_images` images are left out.
    """

    def __init__(
        self,
        *,
        root: str,
        csv: str | None,
        size: int,
        mode: Literal["rgb", "gray"],
        split: str,
        split_sizes: Sequence[float],
        split_seed: int,
        min_images: int,
        on_error: Literal["raise", "skip"],
    ) -> None:
        self.root = root
        self.csv = csv
        self.size = size
        self.mode = mode
        self.split = split
        self.split_sizes = split_sizes
        self.split_seed = split_seed
        self.min_images = min_images
        self.on_error = on_error

    def describe(self) -> Description:
        """Counts from the file names alone, so what `build` has to skip is counted too.

        Raises UserError where the data, the CSV or the split are missing or do not fit together.
        """
        listing = self._listing()
        counts = Counter(photo.label for photo in listing.photos)
        splits = {
            split: {listing.classes[index]: counts[listing.classes[index]] for index in ids}
            for split, ids in self._splits(listing).items()
        }
        return Description(shape=(CHANNELS[self.mode], self.size, self.size), splits=splits)

    def build(self) -> Table:
        """The images themselves.

        Raises UserError as `describe` does, and at an unreadable image unless `on_error` is "skip". A class
        that skipping brings below `min_images` is taken out of its split.
        """
        listing = self._listing()
        splits = self._splits(listing)
        settings = (_VERSION, str(self._root.resolve()), str(self.size), self.mode, self.on_error)
        stamps = (_stamp(self._root, photo) for photo in listing.photos)
        key = digest("\n".join((*settings, *stamps)).encode())
        table = cached("imagefolder", key, lambda: self._decoded(listing))
        # The splits come after the cache: one file serves every split of the same images.
        enough = np.bincount(table.labels, minlength=len(table.classes)) >= self.min_images
        thin = [name for name, good in zip(table.classes, enough, strict=True) if not good]
        return replace(
            table,
            splits={split: ids[enough[ids]] for split, ids in splits.items()},
            notes=listing.notes + table.notes + _left_out(thin, f"dataset.min_images={self.min_images}"),
        )

    @property
    def _root(self) -> Path:
        return Path(self.root or Path(self.csv or "").parent).expanduser()

    def _located(self, name: str) -> Path:
        """A file given as it is or as it lies below the root."""
        path = Path(name).expanduser()
        return path if path.exists() else self._root / path

    def _listing(self) -> _Listing:
        if self.csv:
            photos, notes = _photos_of_csv(self._located(self.csv), self._root)
        else:
            photos, notes = _photos_of_folders(self._root if self.root else None)
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
            members = _split_of_folders(listing.photos)
        else:
            members = _split_of_json(self._located(self.split), [*listing.classes, *listing.small])
        return {
            split: np.array([i for i, name in enumerate(listing.classes) if members[name] == split], np.int64)
            for split in SPLITS
        }

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
        return Table(
            images=images,
            labels=np.array([ids[listing.photos[row].label] for row in kept], np.int64),
            classes=tuple(listing.classes),
            items=tuple(paths[row] for row in kept),
            splits={split: np.empty(0, np.int64) for split in SPLITS},
            notes=notes,
        )


def _photos_of_folders(root: Path | None) -> tuple[list[_Photo], tuple[str, ...]]:
    """The images below `root` that lie in a class folder, and a note on those that do not."""
    if root is None or not root.is_dir():
        raise UserError(
            "dataset.root is not set" if root is None else f"dataset.root={root}: no such folder",
            "give the folder that holds one folder of images a class, or a list of them with dataset.csv",
        )
    photos, stray = [], []
    try:
        for path in _image_files(str(root)):
            *folders, _ = path.split("/")
            split = _SPLIT_NAMES.get(folders[0].lower(), "") if folders else ""
            label = "/".join(folders[1:] if split else folders)
            if label:
                photos.append(_Photo(path, label, split))
            else:
                stray.append(path)
    except OSError as error:
        raise UserError(
            f"dataset.root={root}: cannot read {error.filename}: {error.strerror}", "check its permissions"
        ) from error
    if not photos:
        raise UserError(
            f"dataset.root={root}: no images in class folders" + (f", {len(stray)} outside" if stray else ""),
            f"put the images of each class into a folder of its own; known are {' '.join(_SUFFIXES)}",
        )
    notes = _doubtful_twins(photos)
    if stray:
        notes += (f"images in no class folder are left out: {_few(stray)}",)
    return photos, notes


def _doubtful_twins(photos: Sequence[_Photo]) -> tuple[str, ...]:
    """A note on class folders of one name that no top folder holds both of: one class filed in two places?"""
    tops: defaultdict[str, set[str]] = defaultdict(set)
    for photo in photos:
        tops[photo.label].add(photo.split)
    namesakes: defaultdict[str, list[str]] = defaultdict(list)
    for label in tops:
        namesakes[label.rpartition("/")[2]].append(label)
    twins = [
        f"{one} ({', '.join(sorted(tops[one]))}) and {other} ({', '.join(sorted(tops[other]))})"
        for labels in namesakes.values()
        for one, other in combinations(sorted(labels), 2)
        if tops[one].isdisjoint(tops[other])
    ]
    if not twins:
        return ()
    return (f"classes of one name in different places, kept apart though perhaps the same: {_few(twins)}",)


def _image_files(folder: str, below: str = "", above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Paths below the first `folder`; hidden files are skipped, links followed, though never in a circle."""
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not entry.name.startswith(".")]
    for entry in sorted(visible, key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _image_files(entry.path, f"{below}{entry.name}/", above | {real})
        elif entry.name.lower().endswith(_SUFFIXES):
            yield _storable(below + entry.name)


def _photos_of_csv(file: Path, root: Path) -> tuple[list[_Photo], tuple[str, ...]]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened)
            columns = [column.strip().lower() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"dataset.csv={file}: cannot read it: {error}", "give a CSV file in UTF-8") from error
    absent = [column for column in ("path", "label") if column not in columns]
    if absent or not rows:
        raise UserError(
            f"dataset.csv={file}: "
            + (f"no column {' and no column '.join(absent)}" if absent else "no rows"),
            "the first line must be path,label or path,label,split, and each line after it one image",
        )
    photos = []
    lines: dict[str, int] = {}
    for line, row in rows:
        where = f"dataset.csv={file}, line {line}"
        path, label, split = ((row.get(column) or "").strip() for column in ("path", "label", "split"))
        if not path or not label or None in row:
            raise UserError(
                f"{where}: {len(columns)} cells are wanted, path and label not empty",
                'a cell that holds a comma needs quotes: "like, this"',
            )
        path = _storable(os.path.normpath(path).replace(os.sep, "/"))
        if not (root / path).is_file():
            raise UserError(f"{where}: no such file: {path}", f"paths are relative to dataset.root={root}")
        if path in lines:
            raise UserError(f"{where}: {path} is on line {lines[path]} already", "list every image once")
        lines[path] = line
        photos.append(_Photo(path, _storable(label), _SPLIT_NAMES.get(split.lower(), "")))
    return photos, ()


def _split_of_folders(photos: Sequence[_Photo]) -> dict[str, str]:
    """Class → split, from where its photos are."""
    members: dict[str, str] = {}
    for photo in photos:
        if not photo.split:
            raise UserError(
                f"dataset.split=folders: {photo.path} is in none of train, val and test",
                "use these names for the top folders (or in the CSV's split column), or set dataset.split=seeded",
            )
        if members.setdefault(photo.label, photo.split) != photo.split:
            raise UserError(
                f"dataset.split=folders: class {photo.label} is in both {members[photo.label]} and {photo.split}",
                "keep the classes of the splits apart, or set dataset.split=seeded, which merges the folders",
            )
    return members


def _split_of_json(file: Path, classes: Sequence[str]) -> dict[str, str]:
    """Class → split, "" where the file does not name it."""
    form = 'dataset.split is seeded, folders or a JSON file {"train": [class, …], "val": […], "test": […]}'
    try:
        listed = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"dataset.split={file}: cannot read it: {error}", form) from error
    if not isinstance(listed, dict) or set(listed) != set(SPLITS):
        raise UserError(f"dataset.split={file}: it does not hold just train, val and test", form)
    members = dict.fromkeys(classes, "")
    for split in SPLITS:
        for name in listed[split]:
            if name not in members:
                raise UserError(
                    f"dataset.split={file}: unknown class {name} in {split}", suggest(name, classes)
                )
            if members[name]:
                raise UserError(
                    f"dataset.split={file}: class {name} is in {members[name]} and again in {split}",
                    "name every class once",
                )
            members[name] = split
    return members


def _stamp(root: Path, photo: _Photo) -> str:
    """What changes with the photo."""
    try:
        about = os.stat(os.path.join(root, photo.path))
    except OSError:  # a dangling link: decoding it will say so
        return f"{photo.path}\t{photo.label}"
    return f"{photo.path}\t{photo.label}\t{about.st_size}\t{about.st_mtime_ns}"


def _storable(name: str) -> str:
    """`name`, which must fit the cache's lists of UTF-8 lines."""
    if "\n" in name or name.encode(errors="ignore").decode() != name:
        raise UserError(f"the name {name!r} holds a line break or is not UTF-8", "rename it")
    return name


def _left_out(classes: Sequence[str], setting: str) -> tuple[str, ...]:
    return (f"classes with fewer images than {setting} are left out: {_few(classes)}",) if classes else ()


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
