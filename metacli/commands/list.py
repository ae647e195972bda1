"""metacli list [GROUP]: the options of each config group, with the first words of their code's documentation."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from metacli.config.compose import option_files
from metacli.config.registry import groups, names, summary
from metacli.errors import UserError, suggest
from metacli.letters import brief


def run(arguments: list[str]) -> int:
    options = option_files()
    for name in arguments:
        if name not in options and name.removesuffix("s") not in options:
            raise UserError(f"no config group {name}", suggest(name, options))
    wanted = [name if name in options else name.removesuffix("s") for name in arguments]
    for group in wanted or options:
        print(group)
        column = max(24, *(len(option) + 2 for option in options[group]))
        for option, path in options[group].items():
            first, *more = wrap(_about(group, path, options[group]), 78 - column) or [""]
            print(f"  {option:<{column}}{first}".rstrip())
            print("".join(f"{'':{column + 2}}{line}\n" for line in more), end="")
    return 0


def _about(group: str, path: Path, options: Mapping[str, Path]) -> str:
    """One line: the paradigm's family, then the YAML's opening comment, else the code's first sentence."""
    node = _node(group, path, options)
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = [line[2:] for line in lines if line.startswith("# ") and not line.startswith("# @")]
    about = comments[0] if comments else ""
    if not about and group in groups() and node.get("name") in names(group):
        about = summary(group, node["name"])
    family = f"[{node['family']}] " if "family" in node else ""
    return family + about


def _node(group: str, path: Path, options: Mapping[str, Path]) -> dict[str, Any]:
    """The option's values, on top of those of the option that it varies (anil: maml)."""
    values = _values(path)
    defaults, own = values.get("defaults"), values.get(group)
    others = {name: file for name, file in options.items() if file != path}  # or it might vary itself
    base: dict[str, Any] = {}
    for entry in defaults if isinstance(defaults, list) else ():
        if isinstance(entry, str) and entry in others:
            base = _node(group, others[entry], others)
    return base | (own if isinstance(own, dict) else values)


def _values(path: Path) -> dict[str, Any]:
    """Raises UserError, or YAML's own error, which names the line."""
    try:
        with path.open(encoding="utf-8") as file:
            values = yaml.safe_load(file) or {}
    except yaml.MarkedYAMLError:
        raise
    except Exception as error:  # of many kinds: a number too long, a day that there is not, other than UTF-8
        raise UserError(f"{path}: {brief(error)}", "mend the file") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: it should hold keys and values", "mend the file")
    return values
