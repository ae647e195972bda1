"""Train on one data set, test on another: train and val are those of the first, test is the test split of the second.

metacli train dataset=wikineural dataset@target=conll2003 target.root=conll2003 paradigm=nnshot

Classes and types of one name are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from metacli.data.table import Description, Labelled, Table
from metacli.data.tagged import TaggedTable
from metacli.data.texts import Texts
from metacli.errors import UserError

if TYPE_CHECKING:
    import numpy as np

AnyLabelled = TypeVar("AnyLabelled", Table, Texts)
_LEARNED = ("train", "val")


@contextmanager
def named_target() -> Iterator[None]:
    """What a data set says of `dataset.KEY` is said of `target.KEY`."""
    try:
        yield
    except UserError as error:
        raise UserError(
            *(text.replace("dataset.", "target.") for text in (error.problem, error.hint))
        ) from error


def joined_description(own: Description, other: Description, *, unseen: bool) -> Description:
    """unseen: of test only classes that train and val lack. Raises UserError where the two do not fit each other."""
    if own.kind != other.kind:
        raise UserError(
            f"dataset@target: its tasks are to {other.kind}, those of the data set to {own.kind}",
            "choose another: metacli list dataset",
        )
    if own.shape != other.shape:
        raise UserError(
            f"dataset@target: its items are {list(other.shape)}, those of the data set {list(own.shape)}",
            "make them alike: target.size, target.mode",
        )
    if own.kind == "regress":
        raise UserError("dataset@target: functions are drawn, and have no test split", "leave it out")
    known = {name for split in _LEARNED for name in own.splits[split]} if unseen else set()
    test = {name: count for name, count in other.splits["test"].items() if name not in known}
    return replace(own, splits={**own.splits, "test": test}, outside=own.outside and other.outside)


def joined(own: Any, other: Any, *, unseen: bool) -> Any:
    """One table of both, of which `joined_description` has told that they fit; unseen as there."""
    if isinstance(own, TaggedTable):
        return _tagged(own, other, unseen)
    return _labelled(own, other)


def _tagged(own: TaggedTable, other: TaggedTable, unseen: bool) -> TaggedTable:
    import numpy as np

    if own.tags != other.tags:
        raise UserError(
            f"target.tags={other.tags}: other than dataset.tags={own.tags}", f"target.tags={own.tags}"
        )
    classes = tuple(sorted({*own.classes, *other.classes}))
    ours, theirs = _places(own.classes, classes), _places(other.classes, classes)
    splits = {split: ours[own.splits[split]] for split in _LEARNED}
    asked = np.sort(theirs[other.splits["test"]])
    splits["test"] = np.setdiff1d(asked, np.concatenate(list(splits.values()))) if unseen else asked
    return replace(
        own,
        words=(*own.words, *other.words),
        types=np.concatenate([ours[own.types], theirs[other.types]]),
        starts=np.concatenate([own.starts, other.starts]),
        classes=classes,
        splits=splits,
        rows={**own.rows, "test": other.rows["test"] + len(own.words)},
        foreign_at_test=other.foreign,
        notes=_notes(own, other),
    )


def _labelled(own: AnyLabelled, other: AnyLabelled) -> AnyLabelled:
    import numpy as np

    if own.variants != other.variants:
        raise UserError(
            f"dataset@target: {other.variants} forms of a class, and {own.variants} in the data set",
            "make them alike: target.rotations",
        )
    classes = tuple(dict.fromkeys((*own.classes, *other.classes)))
    ours, theirs = _places(own.classes, classes), _places(other.classes, classes)
    count = len(own.labels)
    changes: dict[str, Any] = {
        "labels": np.concatenate([ours[own.labels], theirs[other.labels]]),
        "items": (*own.items, *other.items),
        "classes": classes,
        "splits": {
            **{split: ours[own.splits[split]] for split in _LEARNED},
            "test": np.sort(theirs[other.splits["test"]]),
        },
        "parts": {**{split: own.rows(split) for split in _LEARNED}, "test": other.rows("test") + count},
        "outside": {},
        "notes": _notes(own, other),
    }
    if own.outside and other.outside:
        changes["outside"] = {**own.outside, "test": other.outside["test"] + count}
    if isinstance(own, Table):
        changes["images"] = np.concatenate([own.images, other.images])
    else:
        changes["tokens"] = np.empty((len(changes["labels"]), 0), np.int32)
    return replace(own, **changes)


def _places(names: tuple[str, ...], among: tuple[str, ...]) -> np.ndarray:
    """[C + 1] of each; the last is that of −1, none."""
    import numpy as np

    known = {name: place for place, name in enumerate(among)}
    return np.array([*(known[name] for name in names), -1], np.int64)


def _notes(own: Labelled | TaggedTable, other: Labelled | TaggedTable) -> tuple[str, ...]:
    return (*own.notes, *(f"target: {note}" for note in other.notes))
