"""The benchmark's own environment: the peers, torch as metacli's constraints pin it, metacli by PYTHONPATH."""

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zlib
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
ROOT = BENCH.parent.parent
REQUIREMENTS = BENCH / "requirements.txt"
CONSTRAINTS = ROOT / "constraints.txt"

# Of learn2learn only these files: its extensions in C do not build on today's Python, and importing the package
# imports them, but its MAML needs none. Without the two __init__.py above them they are a namespace package.
LEARN2LEARN = "learn2learn-0.2.0"
PURE = ("utils/__init__.py", "algorithms/base_learner.py", "algorithms/maml.py")


def python() -> Path:
    """That of the environment, $METACLI_BENCH_VENV or .venv-bench, which is made where it is not there yet."""
    place = Path(os.environ.get("METACLI_BENCH_VENV") or ROOT / ".venv-bench").absolute()
    asked = REQUIREMENTS.read_bytes() + CONSTRAINTS.read_bytes() + Path(__file__).read_bytes()
    stamp = place / f"made-from-{zlib.crc32(asked):08x}"
    found = place / "bin" / "python"
    if not stamp.exists():
        print(f"making {place} (torch is large; this is done once)", file=sys.stderr)
        if not found.exists():
            venv.create(place, with_pip=True, symlinks=True)
        _pip(found, "install", "--constraint", str(CONSTRAINTS), "--requirement", str(REQUIREMENTS))
        _unpack_learn2learn(found)
        stamp.touch()
    return found


def variables() -> dict[str, str]:
    """The environment variables of a process there."""
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(BENCH), str(ROOT)])}


def _unpack_learn2learn(found: Path) -> None:
    site = subprocess.check_output(
        [found, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
    )
    with tempfile.TemporaryDirectory() as folder:
        asked = LEARN2LEARN.replace("-", "==")
        only = ("--no-deps", "--no-build-isolation", "--no-binary", "learn2learn")
        _pip(found, "download", *only, "--dest", folder, asked)
        with tarfile.open(Path(folder) / f"{LEARN2LEARN}.tar.gz") as archive:
            for name in PURE:
                source = archive.extractfile(f"{LEARN2LEARN}/learn2learn/{name}")
                assert source is not None
                target = Path(site.strip()) / "learn2learn" / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(source.read())


def _pip(found: Path, *arguments: str) -> None:
    subprocess.run([found, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments], check=True)
