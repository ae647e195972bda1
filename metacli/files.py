"""Files that are either whole or absent: atomic writes, and tensors with a checksum."""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metacli.errors import UserError

_PARTIAL = ".partial"  # ends the name of a file that is being written


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write to a temporary neighbour, flush it to disk, then rename: readers see the old file or the new one.

    Raises UserError where the folder can't be written.
    """
    data = content.encode() if isinstance(content, str) else content
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PARTIAL)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException as error:  # Ctrl-C, too, leaves nothing behind
        if temporary and os.path.exists(temporary):
            os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> UserError:
    return UserError(
        f"cannot write {path}: {error.strerror or error}", "check the folder's permissions and free space"
    )


def remove_partial(folder: Path) -> None:
    """What processes that were killed had begun to write below `folder`, where nobody else is at work."""
    for path in folder.rglob(f".*{_PARTIAL}"):
        path.unlink(missing_ok=True)


def last_lines(path: Path, count: int) -> list[str]:
    """Of a text that may be long; none where there is no such file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 32_000))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return lines[-count:]


def write_json(path: Path, value: Any) -> None:
    write_atomic(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def digest(*parts: bytes | memoryview) -> str:
    """A short content hash, the same on every machine."""
    state = hashlib.blake2b(digest_size=16)
    for part in parts:
        state.update(part)
    return state.hexdigest()


def stamp(about: os.stat_result) -> str:
    """What changes with a file's content, without reading it; nobody can put its last time back."""
    return f"{about.st_size} {about.st_mtime_ns} {about.st_ctime_ns}"


def user_path(path: str | os.PathLike[str]) -> Path:
    """Where the user's `path` leads: ~ is a home, as long as there is such a user."""
    return Path(os.path.expanduser(path))


def cache_folder() -> Path:
    """Where built data sets are kept: $METACLI_CACHE, else the user's cache folder; an empty variable counts as none.

    Raises UserError where the user has no home.
    """
    if named := os.environ.get("METACLI_CACHE"):
        return user_path(named)
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not caches.is_absolute():
        caches = user_path("~/.cache")
    if not caches.is_absolute():
        raise UserError("no home folder, so no place for built data", "name one: METACLI_CACHE=DIR")
    return caches / "metacli"


def save_arrays(path: Path, arrays: Mapping[str, Any], about: Mapping[str, str]) -> None:
    """numpy arrays and string metadata into one checksummed safetensors file."""
    from safetensors.numpy import save

    body = save(dict(arrays), dict(about))
    write_atomic(path, digest(body).encode() + body)


def load_arrays(path: Path) -> tuple[dict[str, Any], dict[str, str]] | None:
    """What `save_arrays` wrote, or None where the file is missing, truncated or altered."""
    from safetensors.numpy import load

    try:
        content = path.read_bytes()
    except OSError:
        return None
    body = content[32:]
    if digest(body).encode() != content[:32]:
        return None
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    return load(body), header.get("__metadata__", {})


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
