"""Hydra composition: where configs are found, and how a saved run is composed again with changes."""

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf, open_dict

from metacli.errors import UserError


def config_folder() -> Path:
    """`configs/` of the checkout, or the copy that the wheel carries."""
    package = Path(__file__).resolve().parent.parent
    checkout = package.parent / "configs"
    return checkout if (package.parent / "pyproject.toml").exists() else package / "configs"


def search_folders() -> list[Path]:
    """Folders of other people's options: $METACLI_CONFIG_PATH, and entry points of the group "metacli.configs"."""
    folders = [
        Path(part).resolve() for part in os.environ.get("METACLI_CONFIG_PATH", "").split(os.pathsep) if part
    ]
    for entry in entry_points(group="metacli.configs"):
        folders.append(Path(str(entry.load())))
    return folders


class SearchFolders(SearchPathPlugin):
    """Registered with Hydra, so that completion and --help see the options too."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in search_folders():
            search_path.append("metacli-extension", f"file://{folder}")


def register() -> None:
    Plugins.instance().register(SearchFolders)


def values_of(config: DictConfig) -> dict[str, Any]:
    """Resolved plain values, without Hydra's own node."""
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]


def option_groups() -> set[str]:
    return {
        folder.name
        for root in (config_folder(), *search_folders())
        for folder in root.iterdir()
        if folder.is_dir()
    }


def recompose(
    saved: Mapping[str, Any], command: Sequence[str], choices: Mapping[str, str], overrides: Sequence[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """The saved values with `overrides` on top, and the options they came from.

    command: the overrides of the saved run. A group whose option changes is taken afresh from its YAML; every
    other value stays as it was saved, even where the YAML has been edited since.
    """
    register()
    groups = option_groups()
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    if any(override.is_sweep_override() for override in parsed):
        raise UserError(
            "several values for one key", "give one value a key here; sweep with: metacli train -m"
        )
    switched = {o.key_or_group for o in parsed if o.key_or_group in groups}
    switches = [text for text, o in zip(overrides, parsed, strict=True) if o.key_or_group in groups]
    rest = [text for text, o in zip(overrides, parsed, strict=True) if o.key_or_group not in groups]
    values, options = dict(saved), dict(choices)
    with initialize_config_dir(config_dir=str(config_folder()), **base_version()):
        if switches:
            before = [text for text in command if _key(text) in groups and _key(text) not in switched]
            fresh = compose(config_name="config", overrides=before + switches, return_hydra_config=True)
            options = chosen(fresh)
            with open_dict(fresh):
                del fresh["hydra"]
            plain = values_of(fresh)
            for group in plain:
                if group in switched or options.get(group) != choices.get(group):
                    values[group] = plain[group]
        ConfigStore.instance().store(name="saved", node=OmegaConf.create(values))
        return values_of(compose(config_name="saved", overrides=rest)), options


def chosen(config: DictConfig) -> dict[str, str]:
    """Group -> option of a composed config that still has Hydra's node."""
    groups = option_groups()
    return {
        group: option for group, option in config.hydra.runtime.choices.items() if group in groups and option
    }


def base_version() -> dict[str, Any]:
    """Hydra 1.3 warns without `version_base`, 1.4 warns with it."""
    return {"version_base": None} if hydra.__version__.startswith("1.3") else {}


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]
