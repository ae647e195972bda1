"""The machine: device, threads, and the only source of randomness: a generator per seed, purpose, index."""

import contextlib
import ctypes
import hashlib
import os
from collections.abc import Iterator

import torch

from metacli.errors import UserError


def generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A CPU generator that depends on its arguments alone, so that no sampler state has to be saved."""
    key = hashlib.blake2b(f"{seed}/{purpose}/{index}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1)


@contextlib.contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """For library code that only knows torch's global generator (weight initialisers); restored after it."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.set_state(generator(seed, purpose).get_state())
        yield


def resolve_device(name: str) -> torch.device:
    """auto -> cuda, mps or cpu, whichever is there first. Raises UserError for one that is not there."""
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        return torch.device(next(kind for kind, there in available.items() if there))
    kind, _, number = name.partition(":")
    if not available.get(kind, False) or (kind == "cuda" and int(number or 0) >= torch.cuda.device_count()):
        there = [kind for kind, is_there in available.items() if is_there]
        raise UserError(f"device.name={name}: not available here", f"use one of: {', '.join(there)}, auto")
    return torch.device(name)


def resolve_threads(threads: int) -> int:
    """0 -> as many as this process may use."""
    return threads or (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )


def prepare(device: torch.device, threads: int) -> None:
    """Once, before the first tensor: threads, deterministic kernels, exact float32, a heap that is kept."""
    torch.set_num_threads(threads)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = False
    # The same as use_deterministic_algorithms(True), which takes a second or two to import a compiler.
    torch.set_deterministic_debug_mode("error")
    # A debugging aid that costs 13 % here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    _keep_heap()


def _keep_heap() -> None:
    """glibc: keep freed blocks; fresh large tensors page-fault, which cost 10 to 37 % of the speed."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
