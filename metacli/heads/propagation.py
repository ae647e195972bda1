"""Labels that spread from the support set over a graph of all items of a task, queries too: transductive.

Zhou, Bousquet, Lal, Weston & Schölkopf, "Learning with Local and Global Consistency", NeurIPS 2003: with similarities
W of nearest neighbours, S = D^(−1/2) W D^(−1/2) and known labels Y, what F ← αSF + Y comes to is (I − αS)⁻¹ Y. As in
the code of Liu et al. (TPN, ICLR 2019), an item is one of its own neighbours, and two are neighbours where either is
one of the other. As a head the similarity is exp(−d²/2σ²), σ the median distance between two items of the task.

    metacli train paradigm=simpleshot head=label_propagation
"""

import torch
from torch import Tensor, nn

from metacli.episode import Examples, State
from metacli.heads.centroid import negative_squared_distance
from metacli.heads.labels import one_hot


class LabelPropagation(nn.Module):
    """neighbours: of an item, itself included; all, where it has no more · alpha: α.

    State: `features` [T, N, D] and `labels` [T, N, W] of the support set. Outputs are logarithms of a class's share.
    """

    def __init__(self, *, neighbours: int, alpha: float) -> None:
        super().__init__()
        self.neighbours = neighbours
        self.alpha = alpha

    def fit(self, features: Tensor, support: Examples) -> State:
        return {"features": features, "labels": one_hot(support, features.dtype)}

    def answer(self, state: State, features: Tensor) -> Tensor:
        nodes, labels, counted = all_items(state, features)
        shares = spread(
            labels, graph(nodes / median_distance(nodes, counted), counted, self.neighbours), self.alpha
        )
        return shares[:, state["labels"].shape[1] :].clamp(min=torch.finfo(shares.dtype).tiny).log()


def all_items(state: State, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Support items of `state` and queries [T, Q, D]: features [T, M, D], labels [T, M, W], of a query zeros, and which
    of them count [T, M]."""
    labels = state["labels"]
    unknown = labels.new_zeros(len(labels), features.shape[1], labels.shape[2])
    counted = torch.cat([labels.sum(2) > 0, torch.ones_like(unknown[..., 0], dtype=torch.bool)], 1)
    return torch.cat([state["features"], features], 1), torch.cat([labels, unknown], 1), counted


def graph(nodes: Tensor, counted: Tensor, neighbours: int) -> Tensor:
    """exp(−½‖z − z'‖²) where either is among the nearest to the other, else 0. [T, M, D], [T, M] -> [T, M, M]"""
    similar = (negative_squared_distance(nodes, nodes).clamp(max=0) / 2).exp()
    similar = similar * (counted.unsqueeze(1) & counted.unsqueeze(2))
    nearest = similar.topk(min(neighbours, similar.shape[2]), 2).indices
    chosen = torch.zeros_like(similar, dtype=torch.bool).scatter(2, nearest, True)
    return similar * (chosen | chosen.transpose(1, 2))


def spread(labels: Tensor, weights: Tensor, alpha: float) -> Tensor:
    """(I − αS)⁻¹ Y. labels Y [T, M, W], weights [T, M, M], symmetric -> [T, M, W]"""
    scale = weights.sum(2).clamp(min=torch.finfo(weights.dtype).tiny).rsqrt()
    normalised = scale.unsqueeze(2) * weights * scale.unsqueeze(1)
    identity = torch.eye(weights.shape[1], dtype=weights.dtype, device=weights.device)
    return torch.linalg.solve(identity - alpha * normalised, labels)


def median_distance(nodes: Tensor, counted: Tensor) -> Tensor:
    """Between two different items that count. [T, M, D], [T, M] -> [T, 1, 1]"""
    distance = (-negative_squared_distance(nodes, nodes)).clamp(min=0).sqrt()
    pairs = counted.unsqueeze(1) & counted.unsqueeze(2)
    pairs = pairs & ~torch.eye(nodes.shape[1], dtype=torch.bool, device=nodes.device)
    median = distance.masked_fill(~pairs, torch.nan).flatten(1).nanquantile(0.5, 1)
    return median.clamp(min=torch.finfo(nodes.dtype).eps).view(-1, 1, 1)
