"""A composed config -> `schema.Config`, or an error that names the key, the value and the way out."""

from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from metacli.config.registry import ELSEWHERE, INSIDE, SEVERAL, component, groups, names
from metacli.config.schema import Config
from metacli.errors import UserError, suggest
from metacli.letters import brief

Model = TypeVar("Model", bound=BaseModel)
_HELP = "metacli train --help shows every key"


def validate(values: dict[str, Any]) -> Config:
    """Check plain nested values, as YAML gives them. Raises UserError at the first problem."""
    checked = dict(values)
    for group in groups():
        node = values.get(group)
        if isinstance(node, dict) and isinstance(node.get("name"), str):
            schema = component(group, node["name"]).schema
            checked[group] = _parse(schema, _inner(group, node), (group,))
    for place, group in ELSEWHERE.items():
        node = values.get(place)
        if isinstance(node, dict) and isinstance(node.get("name"), str):
            checked[place] = _parse(component(group, node["name"]).schema, _inner(place, node), (place,))
    for group in SEVERAL:
        nodes = values.get(group, {})
        checked[group] = _several(group, nodes) if isinstance(nodes, dict) else nodes
    return _parse(Config, checked, ())


def _inner(place: str, node: dict[str, Any]) -> dict[str, Any]:
    """A component's values, with the components inside it checked."""
    checked = dict(node)
    for key, value in node.items():
        group, where = INSIDE.get(f"{place}.{key}"), f"{place}.{key}"
        if group and isinstance(value, dict) and isinstance(value.get("name"), str):
            checked[key] = _parse(component(group, value["name"]).schema, value, tuple(where.split(".")))
        elif isinstance(value, dict):
            checked[key] = _inner(where, value)
    return checked


def _several(group: str, nodes: dict[str, Any]) -> dict[str, BaseModel]:
    known = names(group)
    for name in nodes:
        if name not in known:
            raise UserError(f"unknown key {group}.{brief(name)}", suggest(str(name), known))
    return {name: _parse(component(group, name).schema, node, (group, name)) for name, node in nodes.items()}


def _parse(schema: type[Model], values: Any, prefix: tuple[str, ...]) -> Model:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        errors = error.errors(include_url=False)
        # A misspelt key is also a missing one; the misspelling is what the user can see.
        first = next((found for found in errors if found["type"] == "extra_forbidden"), errors[0])
        raise _translated(schema, first["type"], first["loc"], first["input"], first["msg"], prefix) from None
    except ValueError as error:  # at a number of thousands of digits
        raise UserError(f"{'.'.join(map(str, prefix)) or 'the config'}: {brief(error)}", _HELP) from None


def _translated(
    schema: type[BaseModel],
    kind: str,
    location: tuple[Any, ...],
    value: Any,
    message: str,
    prefix: tuple[str, ...],
) -> UserError:
    key = brief(".".join(str(part) for part in (*prefix, *location)))
    if kind == "extra_forbidden":
        return UserError(
            f"unknown key {key}={brief(value)}", suggest(str(location[-1]), _keys(schema, location[:-1]))
        )
    if kind == "missing":
        return UserError(f"{key} is missing", "set it on the command line or in the YAML file of its group")
    message = message.removeprefix("Value error, ")
    if not location:
        return UserError(f"{key}: {message}", _HELP)
    if kind == "too_short":
        message = message.replace(" after validation, not ", ", and has ")
    if kind == "string_pattern_mismatch":
        message = f"should be {_described(schema, location)}"
    return UserError(f"{key}={brief(value)}: {message[0].lower()}{message[1:]}", _HELP)


def _keys(schema: type[BaseModel], path: Iterable[Any]) -> list[str]:
    """The keys that stand beside an unknown one."""
    return list(_below(schema, path).model_fields)


def _described(schema: type[BaseModel], location: tuple[Any, ...]) -> str:
    """In words what a pattern says to machines."""
    return str(_below(schema, location[:-1]).model_fields[str(location[-1])].description)


def _below(schema: type[BaseModel], path: Iterable[Any]) -> type[BaseModel]:
    """The model of an inner node."""
    for part in path:
        inner = schema.model_fields[str(part)].annotation
        assert isinstance(inner, type)
        assert issubclass(inner, BaseModel)
        schema = inner
    return schema
