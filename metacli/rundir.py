"""The folder of a run: what stands where, how it is made, and how an earlier one is opened again.

runs/<name>/<time-random>/
  config.yaml overrides.yaml manifest.json log.txt metrics.jsonl
  checkpoints/last.pt best.safetensors, and those of each stage before meta-training: pretrain.pt ...
  report/report.json ...
"""

import contextlib
import fcntl
import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import yaml

from metacli.errors import UserError
from metacli.files import (
    cannot_write,
    digest,
    last_lines,
    remove_partial,
    user_path,
    write_atomic,
    write_json,
)

FORMAT = 1  # of a run folder; raised when an older metacli could not read it
FAILED = "failed: "  # how the line of the log begins that says so
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # in C where there is one: 10 times faster


@dataclass(frozen=True)
class RunFolder:
    """stage: whose checkpoints are meant where it is none of meta-training's."""

    path: Path
    stage: str = ""

    def of(self, stage: str) -> "RunFolder":
        """The same run, with the checkpoints of another stage."""
        return replace(self, stage=stage)

    @property
    def last(self) -> Path:
        return self.path / "checkpoints" / f"{self.stage or 'last'}.pt"

    @property
    def best(self) -> Path:
        return self.path / "checkpoints" / f"{self.stage or 'best'}.safetensors"

    @property
    def report(self) -> Path:
        return self.path / "report"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def finished(self) -> bool:
        return (self.report / "report.json").exists()

    @property
    def failure(self) -> str:
        """Why the work on it ended: the last line of its log. Empty where that says nothing of a failure."""
        for line in last_lines(self.path / "log.txt", 1):
            said = " ".join(line.split(" ")[2:])  # after date and time
            if said.startswith(FAILED):
                return said.removeprefix(FAILED)
        return ""

    def config(self) -> dict[str, Any]:
        return self.sealed("config.yaml")

    def overrides(self) -> list[str]:
        """What stood on the command line that made the run."""
        return self.sealed("overrides.yaml").get("overrides", [])

    @property
    def evaluates(self) -> str:
        """The run that this folder evaluates; empty where it is a run of its own."""
        return self.sealed("overrides.yaml").get("of", "")

    def choices(self) -> dict[str, str]:
        """Group -> option, as the run was composed."""
        return self.sealed("overrides.yaml").get("choices", {})

    def manifest(self) -> dict[str, Any]:
        """Raises UserError where it is of another format, or altered: its checksum covers the rest of it."""
        path = self.path / "manifest.json"
        manifest = _json(path)
        if (written := manifest.get("format")) != FORMAT:
            raise UserError(
                f"{self.path}: written as run format {written}, this metacli reads format {FORMAT}",
                "use the metacli version in its manifest.json",
            )
        if manifest.pop("checksum", None) != _checksum(manifest):
            raise _damaged(path, "altered: its checksum does not match")
        return manifest

    def stages(self) -> dict[str, Any]:
        """Stage before meta-training -> what is to be said of it, once it is done."""
        return self.manifest().get("stages", {})

    def update_manifest(self, **facts: Any) -> None:
        _write_manifest(self.path / "manifest.json", self.manifest() | facts)

    def log(self, line: str) -> None:
        _append(self.path / "log.txt", f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def write_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """The whole history: after a resume the lines of the steps that were lost are gone."""
        write_atomic(self.metrics, "".join(json.dumps(row) + "\n" for row in history))

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        _append(self.metrics, json.dumps(row) + "\n")

    def sealed(self, name: str) -> dict[str, Any]:
        """A YAML file that nothing changes once the run is made: its digest stands in the manifest."""
        path = self.path / name
        content = _read(path)
        if self.manifest()["files"].get(name) != digest(content):
            raise _damaged(path, "it was changed after the run was made; for other settings: metacli rerun")
        return _mapping(path, yaml.load(content, _LOADER))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time works on a run; the lock goes with the process."""
        path = self.path / ".lock"
        try:
            file = path.open("w")
        except OSError as error:
            raise cannot_write(path, error) from error
        with file:
            if not _taken(file):
                raise UserError(f"{self.path}: another process works on this run", "wait for it, or stop it")
            remove_partial(self.path)
            yield

    @property
    def worked_on(self) -> bool:
        """Whether a living process works on the run."""
        try:
            with (self.path / ".lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # and at once given back
        except BlockingIOError:
            return True
        except OSError:  # no lock: nothing was done yet
            return False
        return False

    def log_failure(self, error: Exception) -> None:
        """Why the work on it ended: the last line of its log, until the work goes on."""
        first, *_ = str(error).splitlines() or [""]
        reason = first if isinstance(error, UserError) else f"{type(error).__name__}: {first}"
        with contextlib.suppress(UserError):  # the disk may be full: the error itself is what must be seen
            self.log(FAILED + reason)


def create(
    parent: Path, config: dict[str, Any], overrides: Mapping[str, Any], manifest: Mapping[str, Any]
) -> RunFolder:
    """A new folder with a name of its own under `parent`; the manifest comes last and makes it a run."""
    path = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise _not_writable(path, error.strerror or str(error)) from error
    texts = {"config.yaml": _yaml(config), "overrides.yaml": _yaml(dict(overrides))}
    for name, text in texts.items():
        write_atomic(path / name, text)
    files = {name: digest(text.encode()) for name, text in texts.items()}
    _write_manifest(path / "manifest.json", {"format": FORMAT, **manifest, "files": files})
    return RunFolder(path)


def require_writable(parent: Path) -> None:
    """Raises UserError where `create` could not make its folder: known in time, not after the data was built."""
    above = next(folder for folder in (parent, *parent.absolute().parents) if os.path.exists(folder))
    if not above.is_dir():
        raise _not_writable(parent, f"{above} is a file")
    if not os.access(above, os.W_OK | os.X_OK):
        raise _not_writable(parent, f"no permission to write to {above}")
    try:
        tempfile.TemporaryFile(dir=above).close()
    except OSError as error:  # where root, too, can write nothing: a disk that is read or full, /proc
        raise _not_writable(parent, error.strerror or str(error)) from error


def open_run(path: str | os.PathLike[str], key: str = "") -> RunFolder:
    """An earlier run, which the config `key` names. Raises UserError where it is none, or of another version."""
    run = RunFolder(user_path(path))
    manifest = run.path / "manifest.json"
    if not manifest.is_file() or not (run.path / "config.yaml").is_file():
        named = f"{key}={path}" if key else str(path)
        raise UserError(f"{named}: not a run", "give the folder that holds manifest.json and config.yaml")
    for name in run.manifest()["files"]:
        run.sealed(name)  # now, rather than when hours of work are to be written down
    return run


def _taken(lock: TextIO) -> bool:
    """Tried several times, since to look whether a run is worked on takes its lock for a moment."""
    for _ in range(10):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(0.01)
    return False


def _append(path: Path, line: str) -> None:
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        raise cannot_write(path, error) from error


def _write_manifest(path: Path, facts: Mapping[str, Any]) -> None:
    write_json(path, {**facts, "checksum": _checksum(facts)})


def _checksum(facts: Mapping[str, Any]) -> str:
    return digest(json.dumps(facts, sort_keys=True).encode())


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def _json(path: Path) -> dict[str, Any]:
    try:
        return _mapping(path, json.loads(_read(path)))
    except ValueError:
        raise _damaged(path, "truncated or altered: it is no JSON") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror or error}") from None


def _mapping(path: Path, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _damaged(path, "it should hold keys and values")
    return value


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path}: {why}", "restore the file, or start anew from another run")


def _not_writable(path: Path, why: str) -> UserError:
    return UserError(f"run.root: cannot create {path}: {why}", "choose another folder: run.root=DIR")
