"""Everything about a config that can be checked without torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metacli.config.compatibility import batch_norm_mode, check
from metacli.config.described import described
from metacli.config.registry import ELSEWHERE, INSIDE, component, groups
from metacli.config.schema import Config
from metacli.config.validate import validate
from metacli.errors import UserError
from metacli.letters import brief, storable
from metacli.rundir import open_run, require_writable


def checked(
    values: dict[str, Any], overrides: Sequence[str], *, training: bool = True
) -> tuple[Config, list[str]]:
    """The typed config and what to say of settings without effect. Raises UserError."""
    for override in overrides:
        _check_override(override)
    config = validate(values)
    return config, check(config, described(config), overrides, training=training)


def check_new_run(config: Config, parent: Path) -> None:
    """Raises UserError where a new run has nowhere to go under `parent`, or nothing to start from."""
    require_writable(parent)
    if config.run.init_from:
        origin = open_run(config.run.init_from, "run.init_from")
        if not component("paradigm", config.paradigm.name).trains:
            check_averages(config, origin.config())


def check_averages(config: Config, trained: Mapping[str, Any]) -> None:
    """Raises UserError where batch norm would need running averages that `trained`, whose weights are taken, lacks."""
    then = trained["paradigm"]
    if (
        batch_norm_mode(config) == "running"
        and component("paradigm", then["name"]).trains
        and then["bn_mode"] != "running"
    ):
        raise UserError(
            f"paradigm.bn_mode=running: the weights were trained with {then['bn_mode']} and have no running averages",
            "choose paradigm.bn_mode=support, or train with paradigm.bn_mode=running",
        )


def _check_override(override: str) -> None:
    if not storable(override):
        raise UserError(
            f"{brief(override)}: holds a control character or a line's end, or is not Unicode", "rename it"
        )
    key, _, value = override.lstrip("+").partition("=")
    place, _, last = key.rpartition(".")
    options = {group: group for group in groups()} | {where: f"{INSIDE[where]}@{where}" for where in INSIDE}
    options |= {place: f"{group}@{place}" for place, group in ELSEWHERE.items()}
    if last == "name" and place in options:  # alone it would leave the values of another component beside it
        raise UserError(
            f"{brief(override)}: a name goes with its values",
            f"choose the option: {options[place]}={brief(value)}",
        )
