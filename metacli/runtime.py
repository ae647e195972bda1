"""The machine: device, threads, and the only source of randomness: a generator per seed, purpose, index."""

import contextlib
import ctypes
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch

from metacli.errors import UserError

_GLOBAL_GENERATOR = threading.Lock()
_CGROUP = Path("/sys/fs/cgroup")


def generator(seed: int, purpose: str, index: int = 0) -> torch.Generator:
    """A CPU generator that depends on its arguments alone, so that no sampler state has to be saved."""
    key = hashlib.blake2b(f"{seed}/{purpose}/{index}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(key, "little") >> 1)


@contextlib.contextmanager
def seeded(seed: int, purpose: str) -> Iterator[None]:
    """For library code that only knows torch's global generator (weight initialisers); restored after it."""
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.random.default_generator.set_state(generator(seed, purpose).get_state())
        yield


def resolve_device(name: str, local: int = 0, beside: int = 1) -> torch.device:
    """auto -> cuda, mps or cpu, whichever is there first. Raises UserError for one that is not there.

    beside: processes on this machine, of which this is number `local`; each takes a GPU of its own.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        kinds = [kind for kind, there in available.items() if there and not (kind == "mps" and beside > 1)]
        found = torch.device(kinds[0])
    else:
        kind, _, number = name.partition(":")
        if not available.get(kind, False) or (
            kind == "cuda" and int(number or 0) >= torch.cuda.device_count()
        ):
            there = [kind for kind, is_there in available.items() if is_there]
            raise UserError(
                f"device.name={name}: not available here", f"use one of: {', '.join(there)}, auto"
            )
        found = torch.device(name)
    if found.type != "cuda" or beside == 1:
        return found
    if beside > torch.cuda.device_count():
        raise UserError(
            f"device.processes={beside}: each takes a GPU, and there are {torch.cuda.device_count()}",
            "start fewer, or use device.name=cpu",
        )
    return torch.device("cuda", local)


def resolve_threads(threads: int, beside: int = 1) -> int:
    """0 -> as many as this process may use, shared with those beside it."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return threads or max(1, usable // beside)


def free_memory(device: torch.device) -> int:
    """Bytes that this process can still have there, as far as that is known."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    with contextlib.suppress(OSError):
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = 1024 * int(lines["MemAvailable"].split()[0])
        with contextlib.suppress(OSError, ValueError):  # a container may have less; "max" is no limit
            most, used = (int((_CGROUP / f"memory.{name}").read_text()) for name in ("max", "current"))
            free = min(free, most - used)
        return free
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def prepare(device: torch.device, threads: int) -> None:
    """Once, before the first tensor: threads, deterministic kernels, exact float32, a heap that is kept.

    Attention is computed as it is defined: its fused kernels cannot be differentiated twice.
    """
    torch.set_num_threads(threads)
    torch.backends.cuda.enable_flash_sdp(False)  # of the CPU as well
    torch.backends.cuda.enable_mem_efficient_sdp(False)
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


@contextlib.contextmanager
def borrowed() -> Iterator[None]:
    """torch as a new process has it, whatever the user's own code has set; afterwards as that had it.

    All that `prepare` sets is put back, save the heap, which stays kept.
    """
    before = [(write, read()) for read, write in _settings()]
    try:
        torch.set_float32_matmul_precision("highest")
        with usual_tensors():
            yield
    finally:
        for write, value in before:
            write(value)


@contextlib.contextmanager
def usual_tensors() -> Iterator[None]:
    """New tensors are float32, on the CPU and may have gradients, whatever the user's own code has set."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    # To name a device makes every call of torch slower.
    here = contextlib.nullcontext() if device.type == "cpu" else torch.device("cpu")
    torch.set_default_dtype(torch.float32)
    try:
        with here, torch.inference_mode(False), torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(dtype)


def _settings() -> list[tuple[Callable[[], Any], Callable[[Any], None]]]:
    """How to read and how to write each."""
    cudnn, deterministic, cuda = torch.backends.cudnn, torch.utils.deterministic, torch.backends.cuda
    attributes = ((cudnn, "allow_tf32"), (cudnn, "benchmark"), (deterministic, "fill_uninitialized_memory"))
    return [
        (torch.get_num_threads, torch.set_num_threads),
        (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
        (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
        (cuda.flash_sdp_enabled, cuda.enable_flash_sdp),
        (cuda.mem_efficient_sdp_enabled, cuda.enable_mem_efficient_sdp),
        *((partial(getattr, *where), partial(setattr, *where)) for where in attributes),
    ]


def _keep_heap() -> None:
    """glibc: keep freed blocks; fresh large tensors page-fault, which cost 10 to 37 % of the speed."""
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-8, 1)  # M_ARENA_MAX: one heap for all threads; those of other threads give back what is free
        mallopt(-3, 1 << 30)  # M_MMAP_THRESHOLD
        mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
