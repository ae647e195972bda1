"""How many processes share a run, known without torch: torchrun's, or those that device.processes asks for."""

import os
from dataclasses import dataclass

_SAID = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass(frozen=True)
class Launch:
    """A process's place: rank of world, and local of beside on its machine."""

    rank: int
    world: int
    local: int
    beside: int


def launched() -> Launch | None:
    """As torchrun, or a program like it, started this process; None where it started by itself."""
    if not all(name in os.environ for name in _SAID):
        return None
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    local, beside = os.environ.get("LOCAL_RANK", rank), os.environ.get("LOCAL_WORLD_SIZE", world)
    return Launch(rank, world, int(local), int(beside))


def company(processes: int) -> Launch:
    """torchrun's, else that of the first of `processes` on this machine."""
    return launched() or Launch(0, processes, 0, processes)
