"""Hydra's command line, of which only the composing is used."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import hydra
from omegaconf import DictConfig

from metacli.config.compose import base_version, composing, config_folder, register

ONE_CONFIG = {"-c", "--cfg", "--info"}  # flags that show what was composed, and run nothing


def compose_each(arguments: Sequence[str], take: Callable[[DictConfig], None]) -> None:
    """Call `take` with the config of each job that the command line asks for, within Hydra. Raises what it raises."""
    register()
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
        with _standing_for_hydra(command), composing(asked):
            hydra.main(config_path=str(config_folder()), config_name="config", **base_version())(
                keep_failures
            )()
    if failures:
        raise failures[0]


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
