"""A rank that the first one started as a process of its own."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import torch.distributed as dist

LOST = 3  # exit code of a rank that only lost another


class Other:
    """command: what it runs, followed by its folder, rank, number of ranks, and the id of the process to end with."""

    def __init__(self, command: Sequence[str], folder: Path, rank: int, world: int) -> None:
        self.rank = rank
        self.errors = folder / f"{rank}.txt"
        arguments = [*command, str(folder), str(rank), str(world), str(os.getpid())]
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                process_group=0,  # Ctrl-C is for the first one, which tells the others
            )

    @property
    def code(self) -> int | None:
        """Exit code, or None while it lives."""
        return self.process.poll()

    @property
    def said(self) -> str:
        """On its standard error."""
        return self.errors.read_text(encoding="utf-8", errors="replace")

    def is_here(self, store: dist.Store) -> bool:
        return store.check([here(self.rank)])

    def leave(self, seconds: float) -> None:
        """Let it end, and kill it if it does not in time; it has nothing to lose."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def here(rank: int) -> str:
    """The key that says that it has started."""
    return f"here {rank}"
