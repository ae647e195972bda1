"""What a result depended on beside its config: versions, machine, threads, code. Written to the manifest."""

import contextlib
import functools
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import metacli
from metacli.files import digest

_PACKAGES = (
    "torch",
    "torchvision",
    "timm",
    "transformers",
    "numpy",
    "scikit-learn",
    "pillow",
    "hydra-core",
    "omegaconf",
    "matplotlib",
)


@functools.cache
def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "metacli": metacli.__version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "missing"
    return found


def machine() -> dict[str, Any]:
    return {"system": platform.platform(), "cpu": _cpu(), "cores": os.cpu_count()}


@functools.cache
def code() -> dict[str, Any]:
    """A digest of metacli's source; in a checkout also its commit, and whether it was changed since. A process keeps
    the code that it began with."""
    package = Path(metacli.__file__).parent
    files = sorted(path for path in package.rglob("*") if path.suffix in (".py", ".txt"))
    facts: dict[str, Any] = {"source": digest(*(path.read_bytes() for path in files))}
    if (package.parent / ".git").exists():
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            facts["commit"] = _git(package.parent, "rev-parse", "HEAD")
            facts["changed"] = bool(_git(package.parent, "status", "--porcelain"))
    return facts


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """What differs between two manifests among the things that can change a result's bits."""
    lines = []
    for key in ("versions", "machine", "device", "threads", "data", "code"):
        lines += _differences(key, before.get(key), after.get(key))
    return lines


def _differences(key: str, before: Any, after: Any) -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        return [
            line for name in keys for line in _differences(f"{key}.{name}", before.get(name), after.get(name))
        ]
    return [] if before == after else [f"{key}: {before} -> {after}"]


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
    )
    return done.stdout.strip()


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
