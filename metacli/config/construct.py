"""A config node -> the object it names. Constructors get plain values; which ones, their signatures say."""

import inspect
from collections.abc import Mapping
from typing import Any

from metacli.config.registry import code, component, load
from metacli.config.schema import Named, Node

# Read by the registry, the report and the trainer, and of a group by what trains the component.
_FOR_OTHERS = {"name", "family", "schedule"}
FOR_TRAINING = {
    "features": {"fit"},
    "pretrain": {"epochs", "batch", "held_out", "optimizer"},
    "attack": {"train_on", "episodes"},
    "head": {"optimizer", "steps"},
}


def construct(group: str, node: Named, **context: Any) -> Any:
    """Call the component that `node` names with its values (a.b becomes a_b) and what it asks of `context`."""
    target, maker = code(group, node.name), component(group, node.name).inner
    own = node.model_dump(exclude=FOR_TRAINING.get(group))
    values = {key: value for key, value in flatten(own).items() if key not in _FOR_OTHERS}
    if maker:
        make = load(maker)
        taken = inspect.signature(make).parameters
        inner = make(**{key: value for key, value in (context | values).items() if key in taken})
        values = {key: value for key, value in values.items() if key not in taken} | {"inner": inner}
    wanted = inspect.signature(target).parameters
    return target(**values, **{key: value for key, value in context.items() if key in wanted})


def construct_by(make: Any, node: Named) -> Any:
    """Call `make` with those of the values of `node` that it asks for."""
    wanted = inspect.signature(make).parameters
    return make(**{key: value for key, value in flatten(node.model_dump()).items() if key in wanted})


def construct_several(group: str, nodes: Mapping[str, Node]) -> dict[str, Any]:
    """Name -> object, in a group of which there may be several."""
    return {name: code(group, name)(**flatten(node.model_dump())) for name, node in nodes.items()}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"inner": {"lr": 1}} -> {"inner_lr": 1}"""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}_")
        else:
            flat[prefix + key] = value
    return flat
