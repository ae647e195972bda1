"""Which images there are, and of which class: from a tree of folders, or from a CSV of paths and labels."""

import csv
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from metacli.errors import UserError
from metacli.files import stamp

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm")
_SPLIT_NAMES = {"train": "train", "test": "test"} | dict.fromkeys(
    ("val", "valid", "validation", "dev"), "val"
)


class Photo(NamedTuple):
    path: str  # below the root, with "/"
    label: str
    split: str  # what its top folder or its line in the CSV says; "" where that is no split


def photos_of_folders(root: Path | None) -> tuple[list[Photo], tuple[str, ...]]:
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
                photos.append(Photo(path, label, split))
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
        notes += (f"images in no class folder are left out: {few(stray)}",)
    return photos, notes


def _doubtful_twins(photos: Sequence[Photo]) -> tuple[str, ...]:
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
    return (f"classes of one name in different places, kept apart though perhaps the same: {few(twins)}",)


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
        elif entry.name.lower().endswith(_SUFFIXES) and not _is_special(entry):
            yield _storable(below + entry.name)


def _is_special(entry: os.DirEntry[str]) -> bool:
    """A pipe or a device, which to read might never end. A link to nowhere counts as a file, to be named."""
    return os.path.exists(entry.path) and not entry.is_file()


def photos_of_csv(file: Path, root: Path) -> tuple[list[Photo], tuple[str, ...]]:
    try:
        with open(file, newline="", encoding="utf-8-sig") as opened:
            reader = csv.DictReader(opened)
            columns = [column.strip().lower() for column in reader.fieldnames or ()]
            reader.fieldnames = columns
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"dataset.csv={file}: cannot read it: {error}", "give a CSV file in UTF-8") from error
    twice = [column for column in ("path", "label", "split") if columns.count(column) > 1]
    if twice:
        raise UserError(f"dataset.csv={file}: several columns {twice[0]}", "keep one of them")
    absent = [column for column in ("path", "label") if column not in columns]
    if absent or not rows:
        raise UserError(
            f"dataset.csv={file}: "
            + (f"no column {' and no column '.join(absent)}" if absent else "no rows"),
            "the first line must be path,label or path,label,split, with commas, and each line after it one image",
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
        photos.append(Photo(path, _storable(label), _SPLIT_NAMES.get(split.lower(), "")))
    return photos, ()


def photo_stamp(root: Path, photo: Photo) -> str:
    """What changes with the photo."""
    try:
        about = stamp(os.stat(os.path.join(root, photo.path)))
    except OSError:  # a dangling link: decoding it will say so
        about = ""
    return f"{photo.path}\t{photo.label}\t{about}"


def few(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _storable(name: str) -> str:
    """`name`, which must fit the cache's lists of UTF-8 lines."""
    if "\n" in name or name.encode(errors="ignore").decode() != name:
        raise UserError(f"the name {name!r} holds a line break or is not UTF-8", "rename it")
    return name
