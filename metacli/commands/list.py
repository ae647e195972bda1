"""metacli list [GROUP]: the options of each config group, with the first words of their code's documentation."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

import yaml

from metacli.config.compose import option_files
from metacli.config.registry import component, groups
from metacli.errors import UserError, suggest


def run(arguments: list[str]) -> int:
    options = option_files()
    wanted = [name.rstrip("s") if name not in options else name for name in arguments]
    for name in wanted:
        if name not in options:
            raise UserError(f"no config group {name}", suggest(name, options))
    for group in wanted or options:
        print(group)
        for option, path in options[group].items():
            first, *more = wrap(_about(group, path, options[group]), 80 - 26) or [""]
            print(f"  {option:<24}{first}".rstrip())
            print("".join(f"{'':26}{line}\n" for line in more), end="")
    return 0


def _about(group: str, path: Path, options: Mapping[str, Path]) -> str:
    """One line: the paradigm's family, then the YAML's opening comment, else the code's first sentence."""
    text = path.read_text(encoding="utf-8")
    comments = [
        line[2:] for line in text.splitlines() if line.startswith("# ") and not line.startswith("# @")
    ]
    node = _node(group, path, options)
    about = comments[0] if comments else ""
    if not about and group in groups() and "name" in node:
        about = component(group, node["name"]).summary
    family = f"[{node['family']}] " if "family" in node else ""
    return family + about


def _node(group: str, path: Path, options: Mapping[str, Path]) -> dict[str, Any]:
    """The option's values, on top of those of the option that it varies (anil: maml)."""
    with path.open(encoding="utf-8") as file:  # which an error then names
        values: dict[str, Any] = yaml.safe_load(file) or {}
    base: dict[str, Any] = {}
    for entry in values.get("defaults", []):
        if isinstance(entry, str) and entry in options:
            base = _node(group, options[entry], options)
    return base | (values.get(group) or values)
