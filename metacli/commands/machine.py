"""What `metacli doctor` looks at on the machine: devices, threads, the cache, METACLI_ variables."""

import math
import os
import shutil
import tempfile
import warnings
from pathlib import Path

from metacli.commands.findings import Findings, Problem
from metacli.errors import suggest
from metacli.files import cache_folder
from metacli.letters import size

VARIABLES = {
    "METACLI_DATA": "folder of downloaded data sets",
    "METACLI_CACHE": "folder in which built data sets are kept",
    "METACLI_CONFIG_PATH": "folders of more options, shaped as configs/ is",
    "METACLI_TRACEBACK": "1: a traceback for every error",
    "METACLI_VENV": "where scripts/setup makes its environment",
}
ENOUGH = 10**9  # bytes free, for built data and runs
CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # "200000 100000" is two cores, "max 100000" all of them


def devices() -> Findings:
    with warnings.catch_warnings(record=True) as said:  # by torch: the driver is too old, ...
        warnings.simplefilter("always")
        import torch

        from metacli import provenance, runtime

        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        yield f"cpu: {provenance.machine()['cpu']}, {size(memory)} of memory"
        for number in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(number)
            yield f"cuda:{number}: {device.name}, {size(device.total_memory)} of memory"
        if torch.backends.mps.is_available():
            yield "mps: Apple's GPU"
        chosen = runtime.resolve_device("auto")
    yield f"device.name=auto takes {chosen}"
    torch.ones(2, device=chosen).sum().item()  # raises where the device is there, but does not work
    if chosen.type == "cpu" and shutil.which("nvidia-smi"):
        why = str(said[0].message) if said else f"torch {torch.__version__} was built without CUDA"
        yield Problem(
            f"an NVIDIA GPU is here, but torch cannot use it: {why}", "pytorch.org says which build can"
        )


def threads() -> Findings:
    from metacli import runtime

    count = runtime.resolve_threads(0)
    yield f"{count} by default (device.threads), of {os.cpu_count()} cores"
    quota = _quota()
    if quota < count:
        yield f"this container may use only {quota:g} of them: device.threads={max(1, int(quota))} is faster"


def cache() -> Findings:
    folder = cache_folder()
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    yield f"{folder}: {size(sum(sizes))} in {len(sizes)} files"
    another = "name another folder: METACLI_CACHE=DIR"
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        yield Problem(f"cannot write to {there}: {error.strerror}", another)
        return
    free = shutil.disk_usage(there).free
    yield f"writable, {size(free)} free"
    if free < ENOUGH:
        yield Problem(f"only {size(free)} are free in {there}", f"make room, or {another}")


def variables() -> Findings:
    for name, meaning in VARIABLES.items():
        value = os.environ.get(name)
        yield f"{name}={value} ({meaning})" if value else f"{name} is not set ({meaning})"
    for name in os.environ:
        if name.startswith("METACLI_") and name not in VARIABLES:
            yield Problem(f"{name} is set, but nothing reads it", suggest(name, VARIABLES))
    data = os.environ.get("METACLI_DATA")
    if data and not Path(data).is_dir():
        yield Problem(f"METACLI_DATA={data}: no such folder", "mend the variable, or unset it")


def _quota() -> float:
    try:
        most, period = CPU_QUOTA.read_text(encoding="ascii").split()
        return int(most) / int(period)
    except (OSError, ValueError):
        return math.inf
