"""Whether the chosen components fit each other and the data: declarations in, one error or some notes out."""

from collections.abc import Sequence

from metacli.config.compatibility.data import check_episodes, check_features, check_input, check_kind
from metacli.config.compatibility.facts import (
    asked_splits,
    batch_norm_mode,
    batch_norm_statistics,
    computes_once,
    derivative_order,
    features_kept,
    inner_loss,
    inner_steps,
    is_fitted,
    moves,
    stays_still,
    transductive_method,
)
from metacli.config.compatibility.machine import check_installed, check_memory, check_processes
from metacli.config.compatibility.notes import high_rate, without_effect
from metacli.config.compatibility.training import (
    check_attack,
    check_fixed_ways,
    check_order,
    check_paradigm,
    check_precision,
    check_pretraining,
)
from metacli.config.registry import component
from metacli.config.schema import Config
from metacli.data.table import Description

__all__ = [
    "asked_splits",
    "batch_norm_mode",
    "batch_norm_statistics",
    "check",
    "check_fixed_ways",
    "computes_once",
    "derivative_order",
    "features_kept",
    "inner_loss",
    "inner_steps",
    "is_fitted",
    "moves",
    "stays_still",
    "transductive_method",
]


def check(
    config: Config, data: Description, overrides: Sequence[str] = (), *, training: bool = True
) -> list[str]:
    """Raises UserError where the experiment cannot run; returns what to say of settings without effect.

    training: False where trained weights are only evaluated.
    """
    trains = training and component("paradigm", config.paradigm.name).trains
    check_kind(config, data)
    check_features(config, data)
    check_input(config, data, overrides)
    check_memory(config, data)
    check_episodes(config, data, training)
    check_pretraining(config, data)
    check_paradigm(config, data, training=training)
    check_order(config)
    check_precision(config)
    check_attack(config, data, training)
    check_processes(config, trains)
    if training:
        check_installed(config)
    keys = [override.lstrip("+~").partition("=")[0] for override in overrides]
    return [*high_rate(config, trains), *without_effect(config, keys, data, training)]
