"""The folder of a run: what stands where, how it is made, and how an earlier one is opened again.

runs/<name>/<time-random>/
  config.yaml overrides.yaml manifest.json log.txt metrics.jsonl
  checkpoints/last.pt best.safetensors
  report/report.json ...
"""

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from metacli.errors import UserError
from metacli.files import write_atomic, write_json

FORMAT = 1  # of a run folder; raised when an older metacli could not read it


@dataclass(frozen=True)
class RunFolder:
    path: Path

    @property
    def last(self) -> Path:
        return self.path / "checkpoints" / "last.pt"

    @property
    def best(self) -> Path:
        return self.path / "checkpoints" / "best.safetensors"

    @property
    def report(self) -> Path:
        return self.path / "report"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def finished(self) -> bool:
        return (self.report / "report.json").exists()

    def config(self) -> dict[str, Any]:
        return _mapping(self.path / "config.yaml")

    def overrides(self) -> list[str]:
        """What stood on the command line that made the run."""
        return _mapping(self.path / "overrides.yaml").get("overrides", [])

    def choices(self) -> dict[str, str]:
        """Group -> option, as the run was composed."""
        return _mapping(self.path / "overrides.yaml").get("choices", {})

    def manifest(self) -> dict[str, Any]:
        return _mapping(self.path / "manifest.json")

    def update_manifest(self, **facts: Any) -> None:
        write_json(self.path / "manifest.json", self.manifest() | facts)

    def log(self, line: str) -> None:
        with (self.path / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")

    def write_metrics(self, history: Sequence[Mapping[str, Any]]) -> None:
        """The whole history: after a resume the lines of the steps that were lost are gone."""
        write_atomic(self.metrics, "".join(json.dumps(row) + "\n" for row in history))

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time works on a run; the lock goes with the process."""
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{self.path}: another process works on this run", "wait for it, or stop it"
                ) from None
            yield


def create(
    parent: Path, config: dict[str, Any], overrides: Mapping[str, Any], manifest: Mapping[str, Any]
) -> RunFolder:
    """A new folder with a name of its own under `parent`; the manifest comes last and makes it a run."""
    path = parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    try:
        path.mkdir(parents=True)
    except OSError as error:
        raise UserError(
            f"run.root: cannot create {path}: {error.strerror}", "choose another folder: run.root=DIR"
        ) from error
    run = RunFolder(path)
    write_atomic(path / "config.yaml", yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    write_atomic(
        path / "overrides.yaml", yaml.safe_dump(dict(overrides), sort_keys=False, allow_unicode=True)
    )
    write_json(path / "manifest.json", {"format": FORMAT, **manifest})
    return run


def open_run(path: str | os.PathLike[str]) -> RunFolder:
    """An earlier run. Raises UserError where `path` is none, or was written by another version."""
    run = RunFolder(Path(path))
    if not (run.path / "manifest.json").is_file() or not (run.path / "config.yaml").is_file():
        raise UserError(f"{path}: not a run", "give the folder that holds manifest.json and config.yaml")
    written = run.manifest().get("format")
    if written != FORMAT:
        raise UserError(
            f"{path}: written as run format {written}, this metacli reads format {FORMAT}",
            "use the metacli version in its manifest.json",
        )
    return run


def _mapping(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(
            f"{path}: cannot be read", f"{type(error).__name__}; the run folder is damaged"
        ) from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: damaged", "it should hold keys and values")
    return value
