"""Everything about a config that can be checked without torch."""

from collections.abc import Sequence
from typing import Any

from metacli.config.compatibility import check
from metacli.config.construct import construct
from metacli.config.schema import Config
from metacli.config.validate import validate


def checked(
    values: dict[str, Any], overrides: Sequence[str], *, training: bool = True
) -> tuple[Config, list[str]]:
    """The typed config and what to say of settings without effect. Raises UserError."""
    config = validate(values)
    data = construct("dataset", config.dataset).describe()
    return config, check(config, data, overrides, training=training)
