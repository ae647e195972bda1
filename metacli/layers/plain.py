"""The general path: any nn.Module that sees items, as a backbone that sees tasks.

Task-batched layers (`layers/`) compute all tasks at once whatever their weights are. A module that was not written so
still is correct here: where all tasks share its weights their items go through together, and where
`functional_call` gives each task weights of its own it runs task by task.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from metacli.errors import UserError

TOGETHER = 64  # items at once, where nothing is differentiated: more take memory and gain no speed


class Plain(nn.Module):
    """x [T, N, ...] -> [T, N, D], by a `network` from [N, ...] to [N, D]; an item is a tensor of any shape.

    The network stays in eval mode: no dropout, and batch norm takes the statistics that came with its weights. So the
    features of an item depend on nothing but the item and the weights, and may be computed once and kept.

    last_block: what the names of its parameters begin with · words: of a network that takes texts displaced
    (layers/tokens.py), the numbers of an embedding.
    """

    def __init__(self, network: nn.Module, *, features: int, words: int = 0) -> None:
        super().__init__()
        self.network = network.eval()
        self.features = features
        self.words = words
        self.last_block = tuple(f"network.{name}" for name in _last_block(network))
        self.given_features = False
        self.axes = {name: parameter.dim() for name, parameter in network.named_parameters()}

    def train(self, mode: bool = True) -> "Plain":
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        if self.given_features:
            return x
        own = {
            name: parameter
            for name, parameter in self.network.named_parameters()
            if parameter.dim() > self.axes[name]
        }
        if not own:
            return self.features_of(x.flatten(0, 1)).unflatten(0, x.shape[:2])
        tasks = [{name: parameter[task] for name, parameter in own.items()} for task in range(len(x))]
        return torch.stack(
            [functional_call(self.network, own, (x,)) for own, x in zip(tasks, x, strict=True)]
        )

    def features_of(self, items: Tensor) -> Tensor:
        """[N, ...] -> [N, D]"""
        if torch.is_grad_enabled() or len(items) <= TOGETHER:
            return self.network(items)
        return torch.cat([self.network(part) for part in items.split(TOGETHER)])


@contextmanager
def given_features(module: nn.Module) -> Iterator[None]:
    """Inside, the `Plain` ones in `module` are given features in place of items, and hand them on."""
    plain = [part for part in module.modules() if isinstance(part, Plain)]
    try:
        for part in plain:
            part.given_features = True
        yield
    finally:
        for part in plain:
            part.given_features = False


class LowRank(nn.Module):
    """LoRA: a linear or convolutional layer W that stays as it is, plus BA of rank r, which begins at zero.

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, with α = r. For a convolution A has its
    kernel, and B is one of 1 × 1.
    """

    def __init__(self, layer: nn.Module, rank: int) -> None:
        super().__init__()
        self.layer = layer
        self.lora = nn.ModuleList(_factors(layer, rank))

    def forward(self, x: Tensor) -> Tensor:
        down, up = self.lora
        return self.layer(x) + up(down(x))


def add_low_rank(network: nn.Module, rank: int, suits: Callable[[str], bool] = lambda name: True) -> None:
    """Put a `LowRank` in the place of every layer that it can vary. suits: which, by name.

    A narrow layer among wide ones may be of lower rank than that; where all are, it is a UserError.
    """
    varied = {name: layer for name, layer in network.named_modules() if _factorable(layer) and suits(name)}
    full = [min(layer.weight.flatten(1).shape) for layer in varied.values()]
    if full and rank > max(full):
        raise UserError(
            f"backbone.lora={rank}: no layer of this network has so high a rank, at most {max(full)}",
            f"a rank below {min(full)} is low for every layer: backbone.lora={min(4, min(full))}",
        )
    for name, layer in varied.items():
        parent, _, own = name.rpartition(".")
        setattr(network.get_submodule(parent), own, LowRank(layer, rank))


def _factorable(layer: nn.Module) -> bool:
    """Not those that are nearly one of these: some compute other things with the same weights."""
    return type(layer) is nn.Linear or (type(layer) is nn.Conv2d and layer.groups == 1)


def _factors(layer: nn.Module, rank: int) -> tuple[nn.Module, nn.Module]:
    down: nn.Linear | nn.Conv2d
    up: nn.Linear | nn.Conv2d
    if isinstance(layer, nn.Linear):
        down = nn.Linear(layer.in_features, rank, bias=False)
        up = nn.Linear(rank, layer.out_features, bias=False)
    else:
        assert isinstance(layer, nn.Conv2d)
        down = nn.Conv2d(
            layer.in_channels,
            rank,
            layer.kernel_size,  # type: ignore[arg-type]
            stride=layer.stride,  # type: ignore[arg-type]
            padding=layer.padding,  # type: ignore[arg-type]
            dilation=layer.dilation,  # type: ignore[arg-type]
            bias=False,
        )
        up = nn.Conv2d(rank, layer.out_channels, 1, bias=False)
    nn.init.zeros_(up.weight)
    return down, up


def _last_block(network: nn.Module) -> tuple[str, ...]:
    """Names that the parameters of its last block begin with: the last of its outermost list of blocks that comes
    last, and all that comes after that."""
    lists = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Sequential | nn.ModuleList)
        and name
        and sum(any(True for _ in child.parameters()) for child in module.children()) > 1
    ]
    outer = [name for name in lists if not any(name.startswith(f"{other}.") for other in lists)]
    names = [name for name, _ in network.named_parameters()]
    if not outer:
        return ("",)
    children = dict(network.get_submodule(outer[-1]).named_children())
    last = [name for name, child in children.items() if any(True for _ in child.parameters())][-1]
    block = f"{outer[-1]}.{last}."
    start = next(place for place, name in enumerate(names) if name.startswith(block))
    return (block, *(name for name in names[start:] if not name.startswith(block)))
