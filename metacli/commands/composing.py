"""Hydra's command line, of which only the composing is used."""

import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from tempfile import TemporaryDirectory
from textwrap import fill

import hydra
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from metacli.config.compose import base_version, composing, config_folder, our_hydra, register

ONE_CONFIG = {"-c", "--cfg", "--info"}  # flags that show what was composed, and run nothing


def compose_each(arguments: Sequence[str], take: Callable[[DictConfig], None]) -> None:
    """Call `take` with the config of each job that the command line asks for, within Hydra. Raises what it raises."""
    register()
    with composing(arguments):
        if not any(text.startswith("-") for text in arguments) and _composed_alone(arguments, take):
            return
    asked = arguments
    if ONE_CONFIG.isdisjoint(text.partition("=")[0] for text in arguments):
        arguments = [*arguments, "hydra/launcher=basic"]  # to be composed here, wherever the jobs will run
    failures: list[Exception] = []

    def keep_failures(composed: DictConfig) -> None:
        try:
            take(composed)
        except Exception as error:
            failures.append(error)  # kept from Hydra, which would print it in its own way

    # Hydra makes folders and logs before anything is known to be good.
    with TemporaryDirectory(prefix="metacli-") as scratch:
        places = [f'hydra.{mode}.dir="{scratch}"' for mode in ("run", "sweep")]
        command = ["metacli train", *arguments, *places, "hydra.job.chdir=false"]
        with _standing_for_hydra(command), composing(asked), _narrow_help(arguments):
            hydra.main(config_path=str(config_folder()), config_name="config", **base_version())(
                keep_failures
            )()
    if failures:
        raise failures[0]


@contextmanager
def _narrow_help(arguments: Sequence[str]) -> Iterator[None]:
    """The help that Hydra prints has a line for each group, however many options there are; here they are wrapped."""
    if {"-h", "--help"}.isdisjoint(arguments):
        yield
        return
    try:
        with redirect_stdout(StringIO()) as printed:
            yield
    finally:  # Hydra exits after it
        for line in printed.getvalue().splitlines():
            listed = re.match(r"[\w/]+: \w+, ", line)
            print(fill(line, 80, subsequent_indent="  ") if listed else line)


def _composed_alone(overrides: Sequence[str], take: Callable[[DictConfig], None]) -> bool:
    """What Hydra's command line does for a single job, which it composes twice. False where it is none."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    if any(override.is_sweep_override() or override.key_or_group == "hydra.mode" for override in parsed):
        return False
    before = HydraConfig.instance().cfg
    with our_hydra():
        composed = compose("config", overrides=list(overrides), return_hydra_config=True)
        if composed.hydra.mode == RunMode.MULTIRUN:  # an option may ask for it
            return False
        try:
            HydraConfig.instance().set_config(composed)
            take(OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"]))
        finally:
            HydraConfig.instance().cfg = before
    return True


@contextmanager
def _standing_for_hydra(command: list[str]) -> Iterator[None]:
    """Our command line is `command`, and exceptions reach us: Hydra prints them and exits, unless told not to."""
    arguments, before = sys.argv, os.environ.get("HYDRA_FULL_ERROR")
    sys.argv, os.environ["HYDRA_FULL_ERROR"] = command, "1"
    try:
        yield
    finally:
        sys.argv = arguments
        os.environ.pop("HYDRA_FULL_ERROR")
        if before is not None:
            os.environ["HYDRA_FULL_ERROR"] = before
