"""What a finished run reported, read again: whole and as it was written, or a UserError."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from metacli.errors import UserError
from metacli.files import digest

EPISODES = "episodes.csv"


def sealed(summary: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, Any]:
    """What goes into report.json: the summary, the digests of the report's other files, and a checksum of all that."""
    report = {**summary, "files": {name: digest(content) for name, content in files.items()}}
    return report | {"checksum": _checksum(report)}


def read_report(folder: Path) -> dict[str, Any]:
    """The summary that stands in `folder`/report.json. Raises UserError where it was truncated or altered."""
    path = folder / "report.json"
    try:
        report = json.loads(_read(path))
    except ValueError:
        raise _damaged(path, "truncated or altered: it is no JSON") from None
    if not isinstance(report, dict):
        raise _damaged(path, "it should hold keys and values")
    if "checksum" not in report:
        raise UserError(f"{path}: an older metacli wrote it", f"a new report: metacli eval {folder.parent}")
    if report.pop("checksum") != _checksum(report):
        raise _damaged(path, "altered: its checksum does not match")
    return report


def read_file(folder: Path, name: str, report: Mapping[str, Any]) -> bytes:
    """Another file of the report in `folder`. Raises UserError as `read_report` does."""
    content = _read(folder / name)
    found = digest(content)
    if report["files"].get(name, found) != found:  # of earlier reports only episodes.csv is sealed
        raise _damaged(folder / name, "truncated or altered: its checksum does not match")
    return content


def episode_values(folder: Path, report: Mapping[str, Any]) -> np.ndarray:
    """[E] float64, the headline metric of each test episode. Raises UserError as `read_report` does."""
    rows = csv.DictReader(io.StringIO(read_file(folder, EPISODES, report).decode()))
    return np.array([float(row[report["primary"]]) for row in rows])


def _checksum(report: Mapping[str, Any]) -> str:
    return digest(json.dumps(report, sort_keys=True).encode())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror or error}") from None


def _damaged(path: Path, why: str) -> UserError:
    run = path.parent.parent
    return UserError(f"{path}: {why}", f"restore the file, or have a new report: metacli eval {run}")
