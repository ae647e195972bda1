"""The code of others that an experiment uses: kept in its manifest, and missed where a run is taken up without it."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from metacli.config.extensions import VARIABLE, extensions
from metacli.config.registry import SEVERAL, groups
from metacli.errors import UserError

Origins = dict[str, dict[str, str]]


def origins(values: Mapping[str, Any]) -> Origins:
    """The file or package of each "GROUP.NAME", and a digest of its code. values: of a checked config."""
    return {
        f"{group}.{name}": added[name].origin()
        for group, name in _components(values)
        if name in (added := extensions(group))
    }


def require_origins(recorded: Mapping[str, Any]) -> None:
    """Raises UserError where a component of somebody else's is not here any more. recorded: "code" of a manifest."""
    for key, origin in recorded.items():
        group, _, name = key.partition(".")
        if not name or name in extensions(group):
            continue
        if "file" in origin:
            path = Path(origin["file"])
            raise UserError(
                f"{group}={name}: the run took it from {path}, in a folder that is not named now",
                f"name its folder: {VARIABLE}={shlex.quote(str(path.parents[1]))}",
            )
        package, _, version = origin["package"].partition(" ")
        raise UserError(
            f"{group}={name}: the run used the package {package} {version}, which is not installed",
            f'pip install "{package}=={version}", or its folder',
        )


def _components(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield from ((group, values[group]["name"]) for group in groups())
    yield from ((group, name) for group in SEVERAL for name in values[group])
