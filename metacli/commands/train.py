"""metacli train: compose with Hydra, check, train, evaluate, report.

Hydra's own flags work: -m, --cfg job, --info, --config-dir, --help.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from metacli.commands.checked import checked
from metacli.config.compose import base_version, chosen, config_folder, register, values_of


def run(arguments: list[str]) -> int:
    register()
    sys.argv = ["metacli train", *arguments]
    failures: list[Exception] = []

    def job(composed: DictConfig) -> None:
        try:
            _job(composed)
        except Exception as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # so that Hydra marks this job as failed and goes on
            failures.append(error)  # kept from Hydra, which would print it in its own way

    with _exceptions_reach_us():
        hydra.main(config_path=str(config_folder()), config_name="config", **base_version())(job)()
    if failures:
        raise failures[0]
    return 0


def _job(composed: DictConfig) -> None:
    runtime = HydraConfig.get()
    overrides = list(runtime.overrides.task)
    config, notes = checked(values_of(composed), overrides)
    sweep = runtime.mode == RunMode.MULTIRUN
    parent = (
        Path(runtime.sweep.dir) / str(runtime.job.num) if sweep else Path(config.run.root) / config.run.name
    )

    from metacli import api  # torch from here on

    options = chosen(DictConfig({"hydra": runtime}))
    api.train(config, parent, overrides=overrides, choices=options, notes=notes)


@contextmanager
def _exceptions_reach_us() -> Iterator[None]:
    """Hydra prints exceptions and exits, unless this variable is set."""
    before = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        os.environ.pop("HYDRA_FULL_ERROR")
        if before is not None:
            os.environ["HYDRA_FULL_ERROR"] = before
