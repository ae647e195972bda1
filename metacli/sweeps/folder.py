"""The folder of a sweep: what stands where, how it is made, and how it is opened again.

runs/sweeps/<time-random, or run.name>/
  jobs.json                        overrides and config of every job, and the launcher; nothing changes it
  1/ 2/ ...                        a folder a job: its run, and failure.json where it failed
  sweep.json table.csv table.md    at the end
"""

import json
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metacli.errors import UserError
from metacli.files import digest, write_json
from metacli.sweeps.job import JobFolder
from metacli.sweeps.lock import opened, taken

FORMAT = 1  # of jobs.json


@dataclass(frozen=True)
class SweepFolder:
    """launcher: the node of a Hydra launcher, None for one job after another."""

    path: Path
    jobs: tuple[JobFolder, ...]
    launcher: dict[str, Any] | None

    @property
    def stop(self) -> Path:
        """While it is there, no process of a launcher's begins another job."""
        return self.path / ".stop"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """One process at a time carries out a sweep; the lock goes with the process."""
        with opened(self.path / ".lock") as file:
            if not taken(file):
                raise UserError(
                    f"{self.path}: another process works on this sweep", "wait for it, or stop it"
                )
            yield


def create(
    parent: Path, name: str, jobs: Sequence[Mapping[str, Any]], launcher: Mapping[str, Any] | None
) -> SweepFolder:
    """A new folder under `parent`; jobs.json makes it a sweep.

    name: the time and something random where it is empty · jobs: overrides, choices and config of each.
    Raises UserError where the name is taken.
    """
    path = parent / (name or f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}")
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        raise UserError(
            f"run.name={name}: {path} is there already", f"another name, or: metacli sweep --resume {path}"
        ) from None
    except OSError as error:
        raise UserError(
            f"run.root: cannot create {path}: {error.strerror or error}",
            "choose another folder: run.root=DIR",
        ) from error
    facts = {
        "format": FORMAT,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "launcher": launcher,
        "jobs": jobs,
    }
    write_json(path / "jobs.json", {**facts, "checksum": _checksum(facts)})
    return open_sweep(path)


def open_sweep(path: Path) -> SweepFolder:
    """Raises UserError where it is no sweep, was altered, or is of another version."""
    file = path / "jobs.json"
    try:
        facts = json.loads(file.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: not a sweep", "give the folder that holds jobs.json") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror or error}", "check its permissions") from None
    except ValueError:
        raise _damaged(file, "truncated or altered: it is no JSON") from None
    if not isinstance(facts, dict) or facts.pop("checksum", None) != _checksum(facts):
        raise _damaged(file, "altered: its checksum does not match")
    if facts["format"] != FORMAT:
        raise UserError(
            f"{path}: written as sweep format {facts['format']}, this metacli reads format {FORMAT}",
            "use the metacli version that made it",
        )
    return SweepFolder(path, tuple(_jobs(path, facts["jobs"])), facts["launcher"])


def _jobs(path: Path, jobs: Sequence[Mapping[str, Any]]) -> Iterator[JobFolder]:
    shared = set.intersection(*(set(job["overrides"]) for job in jobs))
    for number, job in enumerate(jobs, 1):
        yield JobFolder(
            path=path / f"{number:0{len(str(len(jobs)))}d}",
            number=number,
            total=len(jobs),
            own=tuple(text for text in job["overrides"] if text not in shared),
            **job,
        )


def _checksum(facts: Mapping[str, Any]) -> str:
    return digest(json.dumps(facts, sort_keys=True).encode())


def _damaged(path: Path, why: str) -> UserError:
    return UserError(f"{path}: {why}", "restore the file, or sweep anew")
