"""What may stand for a half-typed override: groups and their options, keys and their values."""

from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from omegaconf import OmegaConf
from pydantic import BaseModel

from metacli.config.compose import composed, option_files
from metacli.config.registry import SEVERAL, component, groups
from metacli.config.schema import Config

_NEEDS_QUOTES = set("$?'\"[]{}() ")


def override_words(typed: str, given: Sequence[str] = ()) -> Iterator[str]:
    """given: the overrides before it, which decide what keys there are.

    A word that is complete ends in a space; "group=", "key=" and "node." ask for more.
    """
    key, equals, values = typed.lstrip("+~").partition("=")
    sign = typed[: len(typed) - len(typed.lstrip("+~"))]
    if not equals:
        yield from (sign + word for word in _keys(key, given))
        return
    before = values[: max(values.rfind(","), values.rfind("[")) + 1]  # in a sweep or a list
    end = "" if before.startswith("[") else " "
    yield from (f"{sign}{key}={before}{value}{end}" for value in _values(key, given))


def _keys(typed: str, given: Sequence[str]) -> Iterator[str]:
    """No deeper than what is typed: "trainer." stands for the keys below it."""
    if "." not in typed:
        yield from (f"{group}=" for group in option_files())
    parent, dot, _ = typed.rpartition(".")
    node = _at(_composed(given), parent)
    for key, value in node.items() if isinstance(node, Mapping) else ():
        if not (key == "name" and parent in groups()):  # it goes with the option
            yield f"{parent}{dot}{key}" + ("." if isinstance(value, Mapping) else "=")


def _values(key: str, given: Sequence[str]) -> Sequence[str]:
    """The options of a group, the words that a key may have, or what it has now, to be edited."""
    options = option_files()
    group = key.partition("@")[0]
    if group in options:
        return list(options[group])
    config = _composed(given)
    value = _at(config, key)
    now = str(value) if isinstance(value, int | float | str) else ""
    return _choices(key, config) or ([now] if now and _NEEDS_QUOTES.isdisjoint(now) else [])


def _choices(key: str, config: Mapping[str, Any]) -> Sequence[str]:
    """What the schema says where it allows a few words only."""
    group, *rest = parts = key.split(".")
    kind: Any = Config
    if rest and group in groups():
        kind, parts = component(group, config[group]["name"]).schema, rest
    elif rest and group in SEVERAL:
        kind, parts = component(group, rest[0]).schema, rest[1:]
    for part in parts:
        if not (isinstance(kind, type) and issubclass(kind, BaseModel) and part in kind.model_fields):
            return ()
        kind = kind.model_fields[part].annotation
    if kind is bool:
        return ("true", "false")
    # A word, or "a word or a list of words".
    choices = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return [word for part in choices if get_origin(part) is Literal for word in get_args(part)]


def _composed(given: Sequence[str]) -> dict[str, Any]:
    """With what is typed so far, where it is good."""
    single = [text for text in given if "=" in text and "," not in text and not text.startswith("-")]
    try:
        config, _ = composed(single)
    except Exception:  # of Hydra's many; what is wrong will be said once the line is entered
        config, _ = composed([])
    values: dict[str, Any] = OmegaConf.to_container(config)  # type: ignore[assignment]
    return values


def _at(node: Any, path: str) -> Any:
    """What a dotted path leads to; None where it leads nowhere."""
    for part in path.split(".") if path else ():
        node = node.get(part) if isinstance(node, Mapping) else None
    return node
