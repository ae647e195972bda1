"""What the command line of train or sweep asks for: its jobs, composed by Hydra and checked, and their launcher."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, RangeSweep
from hydra.errors import MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from metacli.commands.composing import ONE_CONFIG, compose_each
from metacli.commands.flags import flags_first
from metacli.commands.folders import folders_named
from metacli.commands.job import Job, new_job
from metacli.config.compose import chosen, values_of
from metacli.errors import UserError, suggest
from metacli.letters import brief

_OPTIONAL = ("joblib", "submitit_local", "submitit_slurm")
_HELP = {"-h", "--help", "--hydra-help"}
_BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"


@dataclass(frozen=True)
class Plan:
    """jobs: none where the command line only asks for help or the like · launcher: None for one job after another."""

    jobs: Sequence[Job]
    sweeps: bool
    launcher: dict[str, Any] | None


def planned(arguments: Sequence[str]) -> Plan:
    """Compose and check every job. Raises UserError at the first that is not good."""
    arguments = folders_named(flags_first(arguments))
    launchers = [text for text in arguments if is_launcher(text)]
    _refuse(arguments, launchers)
    jobs: list[Job] = []
    launcher: list[dict[str, Any] | None] = []  # one, if it is a sweep

    def take(composed: DictConfig) -> None:
        jobs.append(_job(composed))
        if _is_sweep() and not launcher:
            launcher.append(_launcher(launchers))

    asked = [text for text in arguments if text not in launchers]
    compose_each(asked, take)
    if not jobs and _sweeps(asked) and _HELP.isdisjoint(asked):
        raise UserError(
            f"{' '.join(_perhaps_empty(asked))}: no values, so there are no jobs",
            "the last number of range(FROM,TO) is left out; glob(*) must fit an option (metacli list)",
        )
    return Plan(jobs, bool(launcher), launcher[0] if launcher else None)


def is_launcher(override: str) -> bool:
    """Whether it chooses or sets the launcher."""
    return _key(override).startswith(("hydra/launcher", "hydra.launcher"))


def chosen_launcher(overrides: Sequence[str]) -> dict[str, Any] | None:
    """As in Plan. Raises UserError where it is not installed, or has no such setting."""
    launcher: list[dict[str, Any] | None] = []
    compose_each([], lambda _: launcher.append(_launcher(overrides)))
    return launcher[0]


def _refuse(arguments: Sequence[str], launchers: Sequence[str]) -> None:
    sweeps = _sweeps(arguments)
    for text in arguments:
        if _key(text).startswith(("hydra.run.", "hydra.sweep.")):
            raise UserError(f"{text}: Hydra makes no folders here", "runs go to run.root=DIR run.name=NAME")
        if sweeps and text.partition("=")[0] in ONE_CONFIG:
            raise UserError(
                f"{text.partition('=')[0]}: shows one config, not those of a sweep",
                f"metacli train {text} ...",
            )
    if launchers and not sweeps:
        raise UserError(f"{launchers[0]}: only a sweep has a launcher", f"metacli sweep {launchers[0]} ...")
    several = [text for text in launchers if _parsed(text).is_sweep_override()]
    if several:
        raise UserError(f"{brief(several[0])}: all jobs of a sweep have one launcher", "give one value")


def _sweeps(arguments: Sequence[str]) -> bool:
    return not {"-m", "--multirun"}.isdisjoint(arguments)


def _perhaps_empty(arguments: Sequence[str]) -> list[str]:
    """Overrides whose values may turn out to be none."""
    overrides = [text for text in arguments if not text.startswith("-")]
    return [text for text in overrides if isinstance(_parsed(text).value(), RangeSweep | Glob)]


def _parsed(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


def _job(composed: DictConfig) -> Job:
    runtime = HydraConfig.get()
    choices = chosen(DictConfig({"hydra": runtime}))
    return new_job(values_of(composed), list(runtime.overrides.task), choices, sweeps=_is_sweep())


def _is_sweep() -> bool:
    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def _launcher(asked: Sequence[str]) -> dict[str, Any] | None:
    """The launcher's node as the first job composes it, with what the command line asked for: an experiment, too,
    may choose one. None for Hydra's own, which takes one job after another, as we do without it."""
    runtime, loader = HydraConfig.get(), GlobalHydra.instance().config_loader()
    kept = [text for text in runtime.overrides.hydra if _key(text) not in ("hydra.mode", "hydra/launcher")]
    try:
        overrides = [*kept, *runtime.overrides.task, *asked]
        composed = loader.load_configuration(runtime.job.config_name, overrides, RunMode.RUN)
    except MissingConfigException as error:
        raise _no_launcher(str(error.missing_cfg_file), error.options or ()) from None
    node: dict[str, Any] = OmegaConf.to_container(composed.hydra.launcher)  # type: ignore[assignment]
    return None if node["_target_"] == _BASIC else node


def _no_launcher(wanted: str, known: Sequence[str]) -> UserError:
    option = wanted.removeprefix("hydra/launcher/")
    if option in _OPTIONAL:
        return UserError(
            f"hydra/launcher={option}: not installed", "it is an extra: pip install 'metacli[launchers]'"
        )
    return UserError(f"hydra/launcher={option}: no such launcher", suggest(option, {*known, *_OPTIONAL}))


def _key(text: str) -> str:
    return text.lstrip("+~").partition("=")[0]
