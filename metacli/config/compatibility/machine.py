"""Whether this machine has what a config asks for."""

import math
import os
from importlib.util import find_spec

from metacli.config.registry import SEVERAL, component, groups
from metacli.config.schema import Config
from metacli.data.table import Description
from metacli.errors import UserError
from metacli.launched import company, launched


def check_memory(config: Config, data: Description) -> None:
    """One byte a number is the least that a built data set takes."""
    needed = math.prod(data.shape) * sum(sum(sizes.values()) for sizes in data.splits.values())
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise UserError(
            f"dataset={config.dataset.name}: takes {needed / 1e9:.0f} GB, and this machine has {there / 1e9:.0f} GB",
            "choose smaller images (dataset.size) or fewer of them",
        )


def check_processes(config: Config, trains: bool) -> None:
    launch = company(config.device.processes)
    said = f"torchrun's {launch.world} processes" if launched() else f"device.processes={launch.world}"
    name = config.device.name
    if launch.beside > 1 and (name == "mps" or ":" in name):
        raise UserError(
            f"{said}: device.name={name} is a single device",
            "device.name=cuda takes one GPU for each process, device.name=cpu shares the cores",
        )
    tasks = config.trainer.meta_batch
    together = component("paradigm", config.paradigm.name).whole_step
    chunk = config.trainer.chunk if config.trainer.chunk != "auto" else tasks if together else 1
    chunks = math.ceil(tasks / chunk)
    if trains and launch.world > chunks:
        lower = f"lower trainer.chunk to {tasks // launch.world}" if tasks >= launch.world else ""
        if together:
            lower = f"{config.paradigm.name} computes them together, in one process"
        raise UserError(
            f"{said}: a meta-batch of {tasks} tasks has {chunks} chunk{'s' * (chunks > 1)} of {chunk} to share",
            lower or f"no more processes than trainer.meta_batch={tasks} can have any use",
        )


def check_installed(config: Config) -> None:
    """What is optional to install; the rest comes with metacli."""
    chosen = [(group, name) for group in SEVERAL for name in getattr(config, group)]
    chosen += [(group, getattr(config, group).name) for group in groups()]
    for group, name in chosen:
        extra = component(group, name).extra
        if extra and find_spec(extra) is None:
            raise UserError(
                f"{group}={name}: the package {extra} is not installed", f'pip install "metacli[{extra}]"'
            )
