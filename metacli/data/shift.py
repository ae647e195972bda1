"""What images may turn into when the distribution of tasks changes."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from metacli.episode import Episode, Examples


def _inverted(x: Tensor) -> Tensor:
    return 1 - x


def _rotated(x: Tensor) -> Tensor:
    """By a quarter, counter-clockwise."""
    return torch.rot90(x, 1, (-2, -1))


def _blurred(x: Tensor) -> Tensor:
    """The mean over 5×5 pixels, the edge repeated."""
    images = torch.nn.functional.pad(x.flatten(0, 1), (2, 2, 2, 2), mode="replicate")
    return torch.nn.functional.avg_pool2d(images, 5, stride=1).view_as(x)


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {"invert": _inverted, "rotate": _rotated, "blur": _blurred}


def shifted(episode: Episode, change: str) -> Episode:
    """The same tasks with other images, which stay within [0, 1]. change: a key of CHANGES"""

    def of(examples: Examples) -> Examples:
        return replace(examples, inputs={**examples.inputs, "x": CHANGES[change](examples.inputs["x"])})

    return replace(episode, support=of(episode.support), query=of(episode.query))
