"""A class split that the user's own data gives: its top folders, or a JSON file."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from metacli.data.photos import Photo
from metacli.data.table import SPLITS
from metacli.errors import UserError, suggest
from metacli.letters import brief


def split_of_folders(photos: Sequence[Photo]) -> dict[str, str]:
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
                "keep the classes of the splits apart; dataset.split_by=item lets splits share them, and "
                "dataset.split=seeded merges the folders",
            )
    return members


def split_of_json(file: Path, classes: Sequence[str]) -> dict[str, str]:
    """Class → split, "" where the file does not name it."""
    form = 'dataset.split is seeded, folders or a JSON file {"train": [class, …], "val": […], "test": […]}'
    try:
        listed = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"dataset.split={file}: cannot read it: {error}", form) from error
    if not isinstance(listed, dict) or set(listed) != set(SPLITS):
        raise UserError(f"dataset.split={file}: it does not hold just train, val and test", form)
    members = dict.fromkeys(classes, "")
    for split in SPLITS:
        for name in _names(listed[split], f"dataset.split={file}: {split}", form):
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


def _names(listed: Any, what: str, form: str) -> Iterator[str]:
    """A class may be called 2024, as a number."""
    if not isinstance(listed, list):
        raise UserError(f"{what} is no list", form)
    for name in listed:
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise UserError(f"{what} holds {brief(json.dumps(name))}, which is no name of a class", form)
        yield str(name)
