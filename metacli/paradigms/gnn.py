"""Few-shot GNN: the support set and one query are the nodes of a graph, whose edges and labels a network infers.

Garcia & Bruna, "Few-Shot Learning with Graph Neural Networks", ICLR 2018; the form of their code for Omniglot, whose
encoder is backbone=conv4_gnn with the layer to `embedding` features that stands here. As there, the label part of the
query's node is zeros (the paper says 1/W: query_label=uniform), every batch norm in training takes statistics of all
graphs of a step, whatever task they are of, so that trainer.chunk has to cover the step, and evaluation uses running
ones. Ours: a training task has several queries, a graph each, where theirs has one; an image is encoded once for all
graphs it is in.

    metacli train paradigm=gnn experiment=omniglot/gnn_5w1s
"""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Episode, Examples, Predictor, State, TaskSpec
from metacli.heads.graph import SLOPE, GraphNetwork
from metacli.heads.labels import one_hot
from metacli.layers import BatchNorm, Linear, Passes
from metacli.learner import Learner
from metacli.objectives import objective

PAIRS = 40_000  # of nodes, at once: what evaluation needs memory for


class GNN(Learner):
    """embedding: features of an image in a node · width, dropout: see GraphNetwork.

    State of a predictor: `nodes` [T, N, embedding + W] of the support set, and which of them are `counted` [T, N].
    """

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        features: int,
        embedding: int,
        width: int,
        dropout: float,
        query_label: Literal["zeros", "uniform"],
        bn_mode: Literal["running", "batch"],
    ) -> None:
        super().__init__(spec)
        self.encoder = nn.Sequential()
        self.encoder.add_module("backbone", backbone)
        self.encoder.add_module("embedding", Linear(features, embedding, bias=False))
        self.encoder.add_module("norm", BatchNorm(embedding, relu=False))
        self.encoder.add_module("activation", nn.LeakyReLU(SLOPE))
        inputs = embedding + spec.outputs
        self.graph = GraphNetwork(inputs=inputs, outputs=spec.outputs, width=width, dropout=dropout)
        self.query_label = {"zeros": 0.0, "uniform": 1 / spec.outputs}[query_label]
        self.passes = Passes(self.encoder, bn_mode)
        Passes(self.graph, bn_mode)  # whose batch norms thus know where their statistics come from
        self.splits = bn_mode == "running"  # then a graph knows nothing of the others at evaluation
        self.seed = 0  # of the step's dropout

    def begin_step(self, step: int, steps: int, generator: torch.Generator) -> None:
        self.seed = int(torch.randint(2**62, (), generator=generator))

    def adapt(self, support: Examples) -> Predictor:
        state = self._fit(self.passes.support({}, support.inputs), support)
        return self.passes.predictor(self._answer, state, support.inputs)

    def meta_loss(self, episode: Episode) -> Tensor:
        """In training all tasks go through as one, with dropout, so that batch norm sees all graphs together."""
        if not self.training:
            return super().meta_loss(episode)
        images = torch.cat([episode.support.inputs["x"], episode.query.inputs["x"]], 1)
        features = self.encoder(images.flatten(0, 1)[None])[0].unflatten(0, images.shape[:2])
        items = episode.support.labels.shape[1]
        state = self._fit(features[:, :items], episode.support)
        graphs = (part.flatten(0, 1)[None] for part in self._graphs(state, features[:, items:]))
        logits = self.graph(*graphs, torch.Generator().manual_seed(self.seed))[0]
        return objective(self.spec.kind)(logits.unflatten(0, (len(episode), -1)), episode.query)

    @staticmethod
    def _fit(features: Tensor, support: Examples) -> State:
        labels = one_hot(support, features.dtype)  # [T, N, W]
        return {"nodes": torch.cat([features, labels], 2), "counted": labels.sum(2) > 0}

    def _answer(self, state: State, features: Tensor) -> Tensor:
        tasks, queries = features.shape[:2]
        pairs = tasks * (state["nodes"].shape[1] + 1) ** 2  # with one query of each task
        size = max(1, PAIRS // pairs) if self.splits and not self.training else queries
        parts = [self.graph(*self._graphs(state, part)) for part in features.split(size, 1)]
        return torch.cat(parts, 1)

    def _graphs(self, state: State, features: Tensor) -> tuple[Tensor, Tensor]:
        """A graph for each query, which is its first node: nodes [T, Q, 1 + N, F] and which count, [T, Q, 1 + N]."""
        tasks, queries = features.shape[:2]
        unknown = features.new_full((tasks, queries, self.spec.outputs), self.query_label)
        query = torch.cat([features, unknown], 2).unsqueeze(2)
        support = state["nodes"].unsqueeze(1).expand(-1, queries, -1, -1)
        counted = F.pad(state["counted"], (1, 0), value=True).unsqueeze(1).expand(-1, queries, -1)
        return torch.cat([query, support], 2), counted
