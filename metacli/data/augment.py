"""Training images changed at random, each by itself: mirrored, shifted, their colours varied.

metacli train dataset=imagefolder dataset.root=photos/ dataset.augment.flip=true dataset.augment.crop=8
"""

from dataclasses import replace

import torch
from torch import Tensor

from metacli.data.table import Augmentation
from metacli.episode import Episode, Examples


def augmented(episode: Episode, how: Augmentation, random: torch.Generator) -> Episode:
    """Support and query images changed as `how` says. `random`: of the CPU, so that every device does the same."""
    if how == Augmentation():
        return episode
    return replace(
        episode,
        support=varied(episode.support, how, random),
        query=varied(episode.query, how, random),
    )


def varied(
    examples: Examples, how: Augmentation, random: torch.Generator, *, alike: bool = False
) -> Examples:
    """Images changed as `how` says. alike: those of every task in the same way, whichever tasks are beside it."""
    x = examples.inputs["x"]
    if alike:
        state = random.get_state()
        tasks = [_changed(task[None], how, random.set_state(state)) for task in x]
        return replace(examples, inputs={**examples.inputs, "x": torch.cat(tasks)})
    return replace(examples, inputs={**examples.inputs, "x": _changed(x, how, random)})


def _changed(x: Tensor, how: Augmentation, random: torch.Generator) -> Tensor:
    """x [T, N, C, H, W]"""
    if how.flip:
        x = _mirrored(x, random)
    if how.crop:
        x = _shifted(x, how.crop, random)
    if how.colour:
        x = _recoloured(x, how.colour, random)
    return x


def _mirrored(x: Tensor, random: torch.Generator) -> Tensor:
    """Every second image on average. x [T, N, C, H, W]"""
    chosen = torch.rand(*x.shape[:2], 1, 1, 1, generator=random) < 0.5
    return torch.where(chosen.to(x.device), x.flip(4), x)


def _shifted(x: Tensor, most: int, random: torch.Generator) -> Tensor:
    """Moved by up to `most` pixels down or up, right or left; the edge is repeated where nothing came from."""
    tasks, items, _, height, width = x.shape
    down, right = torch.randint(-most, most + 1, (2, tasks, items, 1), generator=random)
    rows = (
        (torch.arange(height) - down).clamp(0, height - 1).to(x.device)
    )  # [T, N, H], where each row comes from
    columns = (torch.arange(width) - right).clamp(0, width - 1).to(x.device)
    x = x.gather(3, rows[:, :, None, :, None].expand_as(x))
    return x.gather(4, columns[:, :, None, None].expand_as(x))


def _recoloured(x: Tensor, strength: float, random: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation, each multiplied by a number from 1 − strength to 1 + strength."""
    factors = 1 + strength * (2 * torch.rand(3, *x.shape[:2], 1, 1, 1, generator=random) - 1)
    brightness, contrast, saturation = factors.to(x)
    x = x * brightness
    x = torch.lerp(x.mean((2, 3, 4), keepdim=True), x, contrast)
    x = torch.lerp(x.mean(2, keepdim=True), x, saturation)
    return x.clamp(0, 1)
