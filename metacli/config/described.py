"""What the data of a config are: counts for the checker, without torch, and the table itself."""

from typing import Any

from metacli.config.construct import construct
from metacli.config.schema import Config
from metacli.data.table import Description
from metacli.data.target import joined, joined_description, named_target


def described(config: Config) -> Description:
    own = construct("dataset", config.dataset).describe()
    if config.target is None:
        return own
    with named_target():
        other = construct("dataset", config.target).describe()
    return joined_description(own, other, unseen=_unseen(config))


def built(config: Config) -> Any:
    """Before there are tokens."""
    own = construct("dataset", config.dataset).build()
    if config.target is None:
        return own
    with named_target():
        other = construct("dataset", config.target).build()
    return joined(own, other, unseen=_unseen(config))


def _unseen(config: Config) -> bool:
    return getattr(config.dataset, "unseen", False)
