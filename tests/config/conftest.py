"""Configs composed as the commands compose them, without a command."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import pytest
from omegaconf import OmegaConf

from metacli.config import compose

Composed = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def composed() -> Composed:
    """Overrides -> plain values, references resolved; what only the user can know is given as "given"."""

    @cache
    def values(*overrides: str) -> dict[str, Any]:
        config, _ = compose.composed(overrides)
        if given := [f"{key}=given" for key in OmegaConf.missing_keys(config)]:
            config, _ = compose.composed([*overrides, *given])
        return compose.values_of(config)

    return lambda *overrides: deepcopy(values(*overrides))
