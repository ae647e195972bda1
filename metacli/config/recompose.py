"""A saved run's config with changes on top.

What was saved stays, even where the YAML has been edited since, except that
- a group that is switched, or whose option changes with it, is taken afresh;
- what a switch changes elsewhere comes along (an experiment sets values anywhere);
- a value that followed another goes on following it (run.name is made of paradigm.name).
"""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import hydra
from hydra import compose
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from metacli.config.compose import composed, option_files, our_hydra, values_of
from metacli.errors import UserError

Values = dict[str, Any]


@dataclass(frozen=True)
class Recomposed:
    """values: resolved · choices: group -> option · command: the overrides that stand for both."""

    values: Values
    choices: dict[str, str]
    command: list[str]


def recompose(
    saved: Mapping[str, Any], command: Sequence[str], choices: Mapping[str, str], overrides: Sequence[str]
) -> Recomposed:
    """`saved` with `overrides` on top. command, choices: of the saved run."""
    if not overrides:
        return Recomposed(dict(saved), dict(choices), list(command))
    groups = option_files()
    switches = {key: text for key, text in _keyed(overrides) if _switches(key, groups)}
    settings = [text for key, text in _keyed(overrides) if not _switches(key, groups)]
    wanted = _without_switched(command, switches, groups)
    try:
        before, options = _composed(command)
        after, options = _composed(wanted) if switches else (before, options)
    except HydraException:
        if switches:
            raise
        before = after = dict(saved)  # an option of then is gone, but its values are all here
        options = dict(choices)
    keys = {*after, *options, *switches}
    fresh = {_place(key) for key in keys if key in switches or options.get(key) != choices.get(key)}
    node = OmegaConf.create(_merged(saved, before, after, fresh))
    ConfigStore.instance().store(name="metacli_saved", node=node, **_replacing())
    with our_hydra():
        values = values_of(compose(config_name="metacli_saved", overrides=settings))
    return Recomposed(values, options, wanted + settings)


def _replacing() -> dict[str, Any]:
    """Hydra 1.3 replaces what is stored under a name, 1.4 warns unless told to."""
    return {} if hydra.__version__.startswith("1.3") else {"replace": True}


def _keyed(overrides: Sequence[str]) -> list[tuple[str, str]]:
    """(key, text) of each. Raises UserError where one stands for several values."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    for override, text in zip(parsed, overrides, strict=True):
        if override.is_sweep_override():
            raise UserError(f"{text}: several values", "give one here; sweep with: metacli sweep")
    return [(_key(override), text) for override, text in zip(parsed, overrides, strict=True)]


def _key(override: Override) -> str:
    """'optimizer.lr', 'optimizer', 'optimizer@pretrain.optimizer'"""
    return override.key_or_group + (f"@{override.package}" if override.package else "")


def _switches(key: str, groups: Container[str]) -> bool:
    return key.partition("@")[0] in groups


def _place(key: str) -> str:
    """Where the option of a switch stands, or the value of a setting."""
    return key.partition("@")[2] or key


def _below(key: str, places: Iterable[str]) -> bool:
    return any(f"{_place(key)}.".startswith(f"{place}.") for place in places)


def _without_switched(
    command: Sequence[str], switches: Mapping[str, str], groups: Container[str]
) -> list[str]:
    """`command` and `switches`, less what the command set in switched groups or under keys that are gone with them."""
    if not switches:
        return list(command)
    places = [_place(key) for key in switches]
    kept = [(key, text) for key, text in _keyed(command) if not _below(key, places)]
    options = [text for key, text in kept if key in groups]
    inner = [text for key, text in kept if "@" in key]
    try:
        fresh, _ = _composed([*options, *inner, *switches.values()])
        options += inner
    except HydraException:  # what they are inside of may be gone with the switch
        fresh, _ = _composed([*options, *switches.values()])
    settings = [text for key, text in kept if not _switches(key, groups) and _holds(fresh, key.split("."))]
    return [*options, *switches.values(), *settings]


def _composed(overrides: Sequence[str]) -> tuple[Values, dict[str, str]]:
    """Values, references unresolved, and the options they came from."""
    config, options = composed(overrides)
    return OmegaConf.to_container(config), options  # type: ignore[return-value]


def _merged(saved: Mapping[str, Any], before: Values, after: Values, fresh: Collection[str]) -> Values:
    """`saved` with what stands at the places `fresh`, and what else differs from `before` to `after`, as in `after`."""
    merged = OmegaConf.create({key: value for key, value in saved.items() if key in after})
    for place in fresh:
        if "." in place:
            OmegaConf.update(merged, place, OmegaConf.select(OmegaConf.create(after), place), merge=False)
    for group, value in after.items():
        if group in fresh:
            merged[group] = value
            continue
        for path, now in _leaves(value, group).items():
            if now != _leaves(before.get(group), group).get(path) or _follows(saved, path, now):
                OmegaConf.update(merged, path, now)
    return OmegaConf.to_container(merged)  # type: ignore[return-value]


def _follows(saved: Mapping[str, Any], path: str, reference: Any) -> bool:
    """Whether the saved value is what `reference` means among the saved values."""
    if not (isinstance(reference, str) and "${" in reference):
        return False
    probe = OmegaConf.create(dict(saved))
    value = OmegaConf.select(probe, path)
    OmegaConf.update(probe, path, reference)
    try:
        return bool(OmegaConf.select(probe, path) == value)
    except OmegaConfBaseException:
        return False


def _leaves(value: Any, path: str) -> Values:
    """Dotted path -> value; a list is one value."""
    if not isinstance(value, dict):
        return {path: value}
    return {p: leaf for key, inner in value.items() for p, leaf in _leaves(inner, f"{path}.{key}").items()}


def _holds(values: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(values, dict) or key not in values:
            return False
        values = values[key]
    return True
