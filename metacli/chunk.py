"""trainer.chunk=auto: how many tasks to compute together.

As many as gain speed, as leave every thread and every process a chunk, and as a machine of this much memory can hold.
What is free at the time plays no part, so that a machine always comes to the same number; a run keeps it.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

LARGEST = {"cpu": 8, "mps": 8, "cuda": 64}  # more gains no speed: docs/performance.md
SHARE = 0.5  # of all memory, for what the tasks under way take
PASSING = (
    3.0  # at the peak of the backward pass a task takes up to this much of what its graph keeps: 1.5 to 2.7
)
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def automatic(
    tasks: int, *, threads: int, world: int, beside: int, memory: int, kept: int, largest: int
) -> int:
    """tasks: of a step; where it is one, evaluation counts · threads: of a process, each of which takes a chunk ·
    world: processes, `beside` of them on this machine, of `memory` bytes · kept: bytes that a task's graph keeps."""
    chunk = largest if tasks == 1 else min(largest, max(1, -(-tasks // (threads * world))))

    def fits() -> bool:
        chunks = -(-tasks // chunk) if tasks > 1 else threads * world
        at_once = min(threads, -(-chunks // world)) * beside
        return chunks >= min(tasks, world) and at_once * chunk * kept * PASSING <= SHARE * memory

    while chunk > 1 and not fits():
        chunk -= 1
    return chunk


def memory(device: torch.device) -> int:
    """Bytes, of which a container may have less than its machine."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in _LIMITS:
        with suppress(OSError, ValueError):  # "max" is none
            found.append(int(limit.read_text(encoding="ascii")))
    return min(found)


def kept_by(work: Callable[[], Any]) -> int:
    """Bytes that autograd keeps of `work` for its backward pass."""
    found: dict[int, torch.UntypedStorage] = {}  # alive, so that no place is taken twice

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        work()
    return sum(storage.nbytes() for storage in found.values())
