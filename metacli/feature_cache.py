"""Features of a backbone that stays as it is: computed once for each item, kept on disk, given to episodes as items.

    source = featured(source, backbone, kept=True)  # its episodes hold {"x": features [T, N, D]}
    with given_features(learner):                   # whose backbone hands them on
        evaluate(learner, source.fixed_episodes(...), ...)

For any backbone that is a `Plain` (layers/plain.py), and any source of items of which each is one tensor, whatever it
means. What is kept is found again by all that the numbers depend on: weights, the network's own description (`repr`,
so what prepares items has to say its settings in `extra_repr`), the data's fingerprint, torch, device and threads.
"""

import contextlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from metacli.data.tag_episodes import TagSource
from metacli.episode import Inputs
from metacli.errors import UserError
from metacli.files import cache_folder, digest, load_arrays, save_arrays
from metacli.layers.plain import TOGETHER, Plain
from metacli.layers.words import word_states


class Source(Protocol):
    """One split of a table of items."""

    table: Any  # has `labels` [R]

    @property
    def seen(self) -> Tensor:
        """Rows in the table of every item that episodes can have."""

    @property
    def fingerprint(self) -> str:
        """Changes when what a network takes of any item does."""

    def inputs(self, rows: Tensor) -> Inputs:
        """{"x": [N, ...]} of these rows [N]."""

    def featured(self, features: Tensor) -> "Source":
        """The same source of other items: those of features [R, D]."""


AnySource = TypeVar("AnySource", bound=Source)


def featured(
    source: AnySource, backbone: Plain, *, kept: bool, progress: Callable[[int], None] = lambda done: None
) -> AnySource:
    """`source` with features for items. kept: on disk, too · progress: called with the number of items done."""
    rows = source.seen
    path = _place(source, backbone) if kept else None
    found = load_arrays(path) if path else None
    if found is not None:
        features = torch.from_numpy(found[0]["features"])
    else:
        features = _computed(source, backbone, progress)
        if path:
            with contextlib.suppress(UserError):  # where nothing can be kept it is computed again
                save_arrays(path, {"features": features.numpy()}, {})
    every = torch.zeros(len(source.table.labels), features.shape[1])
    every[rows] = features
    return source.featured(every)  # type: ignore[return-value]


@torch.no_grad()
def encoded(
    source: TagSource, backbone: Plain, *, kept: bool, progress: Callable[[int], None] = lambda done: None
) -> TagSource:
    """`source` with the states of words for tokens. kept and progress: as of `featured`."""
    path = _place(source, backbone) if kept else None
    found = load_arrays(path) if path else None
    if found is not None:
        return source.with_states(torch.from_numpy(found[0]["states"]))
    was_training = backbone.training
    backbone.eval()
    states = source.states_of(partial(word_states, backbone), progress)
    backbone.train(was_training)
    if path:
        with contextlib.suppress(UserError):
            save_arrays(path, {"states": states.numpy()}, {})
    return source.with_states(states)


@torch.no_grad()
def _computed(source: Source, backbone: Plain, progress: Callable[[int], None]) -> Tensor:
    """[n, D], of each row of the source."""
    device = next(backbone.parameters()).device
    was_training = backbone.training
    backbone.eval()
    parts: list[Tensor] = []
    for rows in source.seen.split(TOGETHER):
        parts.append(backbone.features_of(source.inputs(rows)["x"].to(device)).cpu())
        progress(sum(map(len, parts)))
    backbone.train(was_training)
    return torch.cat(parts)


def _place(source: Source | TagSource, backbone: nn.Module) -> Path:
    tensors = backbone.state_dict()
    weights = digest(
        *(tensor.detach().cpu().contiguous().flatten().numpy().data for tensor in tensors.values())
    )
    device = next(backbone.parameters()).device.type
    about = (
        "features 1",
        weights,
        repr(backbone),
        source.fingerprint,
        digest(source.seen.numpy().data),
        torch.__version__,
        device,
        str(torch.get_num_threads()),
    )
    return cache_folder() / f"features-{digest(chr(10).join(about).encode())}.safetensors"
