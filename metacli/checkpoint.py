"""Training state and weights on disk: atomic, checksummed, and loaded without pickle's code execution."""

import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metacli.errors import UserError
from metacli.files import digest, write_atomic

_DIGEST = 32  # characters of a digest; torch.load ignores what follows its archive


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Tensors and plain values, followed by a checksum."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    body = buffer.getvalue()
    write_atomic(path, body + digest(body).encode())


def load_state(path: Path) -> dict[str, Any]:
    """Raises UserError where the file is missing, truncated or altered."""
    content = _read(path)
    body, written = content[:-_DIGEST], content[-_DIGEST:]
    if digest(body).encode() != written:
        raise _damaged(path)
    return torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """An ordinary safetensors file whose metadata holds a checksum of names, shapes and values."""
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_atomic(path, save(plain, {"digest": digest(save(plain))}))


def load_weights(path: Path) -> dict[str, Tensor]:
    """Raises UserError where the file is missing, truncated or altered."""
    from safetensors import SafetensorError
    from safetensors.torch import load, save

    content = _read(path)
    try:
        weights = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, ValueError):
        raise _damaged(path) from None
    if header.get("__metadata__", {}).get("digest") != digest(save(weights)):
        raise _damaged(path)
    return weights


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file", "the run has no checkpoint yet; start it anew") from None
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror or error}", "check the file's permissions"
        ) from error


def _damaged(path: Path) -> UserError:
    return UserError(
        f"{path}: truncated or altered", "its checksum does not match; nothing was loaded from it"
    )
