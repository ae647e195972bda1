"""A graph network whose edges are computed from its nodes (Garcia & Bruna, ICLR 2018), in its form for Omniglot.

G graphs a task, M nodes a graph, F features a node: nodes [T, G, M, F]. No layer before a batch norm has a bias, nor
has the last one of an adjacency: the norm, or the softmax, would cancel it.
"""

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.layers import BatchNorm, Linear

SLOPE = 0.01  # of the leaky ReLU below zero
MULTIPLES = (2.0, 1.5, 1.0, 1.0)  # of an adjacency's layers, as multiples of its width


class GraphNetwork(nn.Module):
    """[T, G, M, F] -> outputs of the first node of each graph, [T, G, K].

    width: of a graph convolution, two of which add theirs to the features of a node · dropout: in the last adjacency.
    """

    def __init__(self, *, inputs: int, outputs: int, width: int, dropout: float) -> None:
        super().__init__()
        sizes = [inputs, inputs + width, inputs + 2 * width]
        # As published, the last adjacency is as wide as the one before it, though its nodes are wider.
        self.adjacencies = nn.ModuleList(
            Adjacency(size, wide) for size, wide in zip(sizes, [sizes[0], sizes[1], sizes[1]], strict=True)
        )
        self.convolutions = nn.ModuleList(
            GraphConvolution(size, wide) for size, wide in zip(sizes, [width, width, outputs], strict=True)
        )
        self.dropout = dropout
        for module in self.modules():
            if isinstance(
                module, Linear
            ):  # as torch does, and so the authors' code; it leaves the start sooner
                nn.init.kaiming_uniform_(module.weight, math.sqrt(5))

    def forward(self, nodes: Tensor, counted: Tensor, random: torch.Generator | None = None) -> Tensor:
        """counted [T, G, M]: nodes that others listen to · random: for dropout, which there is only with it."""
        *before, last = zip(self.adjacencies, self.convolutions, strict=True)
        for adjacency, convolution in before:
            new = convolution(nodes, adjacency(nodes, counted))
            nodes = torch.cat([nodes, F.leaky_relu(new, SLOPE)], -1)
        adjacency, convolution = last
        return convolution(nodes, adjacency(nodes, counted, self.dropout, random))[:, :, 0]


class Adjacency(nn.Module):
    """How much each node listens to each other one: [T, G, M, M], rows that sum to 1, without themselves."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        sizes = [inputs, *(int(multiple * width) for multiple in MULTIPLES)]
        self.blocks = nn.ModuleList(Block(*size) for size in itertools.pairwise(sizes))
        self.last = Linear(sizes[-1], 1, bias=False)

    def forward(
        self, nodes: Tensor, counted: Tensor, dropout: float = 0.0, random: torch.Generator | None = None
    ) -> Tensor:
        first, *rest = self.blocks
        x = first((nodes.unsqueeze(3) - nodes.unsqueeze(2)).abs())  # [T, G, M, M, F]
        if random is not None:
            x = dropped(x, dropout, random)
        for block in rest:
            x = block(x)
        deaf = torch.eye(nodes.shape[2], dtype=torch.bool, device=x.device) | ~counted.unsqueeze(2)
        return self.last(x).squeeze(-1).masked_fill(deaf, -torch.inf).softmax(-1)


class Block(nn.Module):
    """Linear, norm, leaky ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = Linear(inputs, outputs, bias=False)
        self.norm = BatchNorm(outputs, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.norm(self.linear(x)), SLOPE)


def dropped(x: Tensor, rate: float, random: torch.Generator) -> Tensor:
    """Each value is zero with probability `rate`; those that stay make up for it."""
    stays = torch.rand(x.shape, generator=random).to(x.device) >= rate
    return x * stays / (1 - rate)


class GraphConvolution(nn.Module):
    """norm(W·[x, A·x]): [T, G, M, F] and [T, G, M, M] -> [T, G, M, K]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = Linear(2 * inputs, outputs, bias=False)
        self.norm = BatchNorm(outputs, relu=False)

    def forward(self, nodes: Tensor, adjacency: Tensor) -> Tensor:
        return self.norm(self.linear(torch.cat([nodes, adjacency @ nodes], -1)))
