"""Hydra composition: where configs are found, and what a composed config says."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra import compose, initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.core.utils import JobRuntime
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from metacli.config.extensions import search_folders
from metacli.config.registry import SEVERAL, groups
from metacli.errors import UserError


def config_folder() -> Path:
    """`configs/` of the checkout, or the copy that the wheel carries."""
    package = Path(__file__).resolve().parent.parent
    checkout = package.parent / "configs"
    return checkout if (package.parent / "pyproject.toml").exists() else package / "configs"


class SearchFolders(SearchPathPlugin):
    """Registered with Hydra, so that completion and --help see the options too. Nothing to Hydras that are not ours."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        if all(
            element.provider != "main" or not _is_ours(element.path) for element in search_path.get_path()
        ):
            return
        for folder in search_folders():
            search_path.append("metacli-extension", f"file://{folder}")


def register() -> None:
    Plugins.instance().register(SearchFolders)


def composed(overrides: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
    """What `metacli train` with these overrides would run, and the option of each group."""
    register()
    with composing(overrides), our_hydra():
        config = compose(config_name="config", overrides=list(overrides), return_hydra_config=True)
    options = chosen(config)
    with open_dict(config):
        del config["hydra"]
    return config, options


@contextmanager
def our_hydra() -> Iterator[None]:
    """Hydra, to compose from our configs. One that the user has running in this process is put aside meanwhile."""
    running, version, name = GlobalHydra().hydra, VersionBase().version_base, JobRuntime().get("name")
    GlobalHydra().clear()
    try:
        with initialize_config_dir(config_dir=str(config_folder()), **base_version()):
            yield
    finally:
        JobRuntime().set("name", name)
        VersionBase().version_base = version
        GlobalHydra().hydra = running


def option_files() -> dict[str, dict[str, Path]]:
    """Group -> option -> its YAML file."""
    found: dict[str, dict[str, Path]] = {}
    for root in (config_folder(), *search_folders()):
        for path in sorted(root.glob("*/**/*.yaml")):
            group, *rest = path.relative_to(root).with_suffix("").parts
            found.setdefault(group, {}).setdefault(
                "/".join(rest), path
            )  # as Hydra does, the first one counts
    return found


def options_of(group: str, names: Sequence[str]) -> list[str]:
    """Those that are one of these components: `minilm`, say, of `hf_text`. What has no file is called by its name."""
    found: dict[str, str] = {}
    for option, path in option_files().get(group, {}).items():
        named = re.search(r"^ *name: (\w+)", path.read_text(encoding="utf-8"), re.M)
        found[option] = named[1] if named else option
    return [option for option, name in found.items() if name in names]


def typed(group: str, name: str, overrides: Sequence[str]) -> str:
    """The option on the command line that is this component, else its name."""
    options = [value for key, _, value in (override.partition("=") for override in overrides) if key == group]
    return options[-1] if options and options[-1] in options_of(group, [name]) else name


@contextmanager
def composing(overrides: Sequence[str]) -> Iterator[None]:
    """Hydra and OmegaConf raise anything where an override or a YAML file is not what they expect: whatever it is, it
    leaves here as an exception of theirs."""
    try:
        yield
    except (UserError, YAMLError, MemoryError):
        raise
    except Exception as error:
        says_what = isinstance(error, HydraException) and str(error)
        says_where = isinstance(error, OmegaConfBaseException) and (error.full_key or error.key)
        if says_what or says_where or getattr(error, "errno", None):  # the machine's, if it has a number
            raise
        what, why = " ".join(overrides) or "the config", error.__cause__ or error
        raise HydraException(f"cannot compose {what}: {type(why).__name__}: {why}") from error


def values_of(config: DictConfig) -> dict[str, Any]:
    """Resolved plain values, without Hydra's own node."""
    for group in groups():
        if group in config and not OmegaConf.is_dict(OmegaConf.select(config, group)):
            raise UserError(
                f"{group}: its option holds no keys and values",
                f"mend the file, or choose another: {group}=OPTION",
            )
    with composing(()):
        return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)  # type: ignore[return-value]


def chosen(config: DictConfig) -> dict[str, str]:
    """Group -> option of a composed config that still has Hydra's node; [one,other] where a group may have several.
    An option inside another component's settings is under GROUP@PLACE.

    Raises UserError where another group was given several.
    """
    options = option_files()
    choices = config.hydra.runtime.choices
    lists: dict[str, str] = {}
    for override in config.hydra.overrides.task:
        group, _, text = override.lstrip("+~").partition("=")
        if group in options and group not in choices:  # Hydra merges the options of a list
            if group not in SEVERAL and override.startswith("~"):
                raise UserError(f"{override}: no run is without", f"choose another: {group}=OPTION")
            if group not in SEVERAL:
                raise UserError(f"{override}: one option, not several", f"see: metacli list {group}")
            lists[group] = text
    chosen = {**choices, **lists}
    return {key: option for key, option in chosen.items() if key.partition("@")[0] in options and option}


def base_version() -> dict[str, Any]:
    """Hydra 1.3 warns without `version_base`, 1.4 warns with it."""
    return {"version_base": None} if hydra.__version__.startswith("1.3") else {}


def _is_ours(path: str | None) -> bool:
    return path is not None and Path(path.removeprefix("file://")) == config_folder()
