"""The KEY=VALUE arguments of `metacli runs`: which of the runs are meant."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from metacli.errors import UserError, suggest
from metacli.runlist import STATUSES, Run


def filtered(runs: Sequence[Run], wanted: Sequence[str]) -> list[Run]:
    """Those that all of `wanted` are true of. Raises UserError at a key or a status that there is not."""
    kept = list(runs)
    for text in wanted:
        key, _, value = text.partition("=")
        values = [value] if value.startswith("[") else value.split(",")
        _check(key, values, runs)
        kept = [
            run for run in kept if any(_same(own, value) for own in _values(run, key) for value in values)
        ]
    return kept


def _values(run: Run, key: str) -> list[Any]:
    """What the run has under `key`: of a group its option (or several) and its component's name; maybe nothing."""
    if key == "status":
        return [run.status]
    node = _at(run.config, key)
    if not isinstance(node, Mapping):
        return [node]
    options = run.choices[key].strip("[]").split(",") if key in run.choices else []
    return [*options, *(value for name, value in node.items() if name == "name")]


def _at(config: Mapping[str, Any], key: str) -> Any:
    """What a dotted key leads to; an empty mapping where it leads nowhere."""
    node: Any = config
    for part in key.split(".") if key else ():
        node = node.get(part, {}) if isinstance(node, Mapping) else {}
    return node


def _same(own: Any, text: str) -> bool:
    """Whether `text` on a command line means the value."""
    if isinstance(own, int | float) and not isinstance(own, bool):
        try:
            return float(text) == own
        except ValueError:
            return False
    return _written(own) in (text, text.replace(" ", ""), os.path.abspath(text))


def _written(value: Any) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(_written, value))}]"
    return {None: "null", True: "true", False: "false"}.get(value, str(value))


def _check(key: str, values: Sequence[str], runs: Sequence[Run]) -> None:
    if key == "status":
        for value in values:
            if value not in STATUSES:
                raise UserError(f"status={value}: no such status", f"known: {', '.join(STATUSES)}")
    elif runs and not any(_values(run, key) for run in runs):
        parent, _, last = key.rpartition(".")
        known = {"status"} if not parent else set()
        for run in runs:
            node = _at(run.config, parent)
            known |= set(node) if isinstance(node, Mapping) else set()
        raise UserError(f"{key}: no run has such a key", suggest(last, known))
