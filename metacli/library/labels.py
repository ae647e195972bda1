"""Labels as a user has them, and the numbers that stand for them."""

from collections.abc import Hashable, Iterable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from metacli.errors import UserError

Label = TypeVar("Label", bound=Hashable)


def numbered(
    labels: Iterable[Label] | None, items: int, what: str = "images"
) -> tuple[tuple[Label, ...], Tensor]:
    """The classes in the order in which they occur first, and the place of each label among them, [N].

    Raises UserError where there is not a label for each of the `items`, or no second class.
    """
    given = _listed(labels)
    if len(given) != items:
        raise UserError(f"{items} {what} and {len(given)} labels", f"give one label for each of the {what}")
    try:
        places = {label: place for place, label in enumerate(dict.fromkeys(given))}
    except TypeError:
        kinds = ", ".join(sorted({type(label).__name__ for label in given}))
        raise UserError(
            f"labels: values of type {kinds} can be no names", "give strings or numbers"
        ) from None
    if len(places) < 2:
        raise UserError(f"labels: all are {given[0]!r}", f"give {what} of at least two classes")
    return tuple(places), torch.tensor([places[label] for label in given])


def _listed(labels: Iterable[Label] | None) -> list[Label]:
    if isinstance(labels, np.ndarray | Tensor):
        return labels.tolist()  # plain values, which equal ones are equal to
    if labels is None or isinstance(labels, str) or not isinstance(labels, Iterable):
        raise UserError(
            f"labels: {labels!r} is no list", 'give one label for each image: ["cat", "cat", "dog"]'
        )
    return list(labels)
