"""Words as Gaussians, drawn together where they have one tag; then the tag of the nearest word.

Das, Katiyar, Passonneau & Zhang, "CONTaiNER: Few-Shot Named Entity Recognition via Contrastive Learning", ACL 2022. A
word's state h is given a mean W ReLU(h) and variances ELU(W' ReLU(h)) + 1; words are told apart by the symmetric KL
divergence, and every word that has a partner of its tag is an anchor of a contrastive loss. A support set is learned by
that loss, too, until it rises; then states without their Gaussians, of unit length, are compared. As in the authors'
code `paradigm.finetune.distance=euclidean` suits one shot, and `paradigm.tau=0.01` adds their Viterbi. They train on
batches of sentences with all types; here a batch is an episode's, support and query sentences together, and what is
kept is the weights of the lowest loss: both are ours, as is `nearest=gaussians`.

    metacli train dataset=crossner paradigm=container episode.val.count=20
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from metacli.episode import Episode, Examples, Inputs, Predictor, State, TaskSpec
from metacli.heads.centroid import negative_squared_distance
from metacli.heads.gaussians import Gaussians, contrast, divergence
from metacli.heads.tokens import nearest_of_tags, tag_counts
from metacli.heads.transitions import AbstractTransitions, most_likely
from metacli.layers.words import WordPasses, word_states
from metacli.learner import Learner
from metacli.select import moving


class Container(Learner):
    """State of a predictor: `words` [T, S, H + 2d] of the support set, each its state, mean and variances; their tags
    `labels` [T, S, K]; and the weights that move."""

    def __init__(
        self,
        *,
        spec: TaskSpec,
        backbone: nn.Module,
        features: int,
        embedding: int,
        nearest: Literal["states", "gaussians"],
        tau: float,
        finetune_steps: int,
        finetune_lr: float,
        finetune_weight_decay: float,
        finetune_distance: Literal["kl", "euclidean"],
        moves_inner: Sequence[str],
        moves_outer: Sequence[str],
        bn_mode: Literal["running"],
    ) -> None:
        super().__init__(spec)
        self.network = nn.Sequential()
        self.network.add_module("backbone", backbone)
        self.network.add_module("head", Gaussians(features, embedding))
        self.features = features
        self.nearest = nearest
        self.transitions = AbstractTransitions()
        self.tau = tau
        self.steps = finetune_steps
        self.descent: dict[str, Any] = {"lr": finetune_lr, "weight_decay": finetune_weight_decay}
        self.distance = finetune_distance
        self.inner = moving(self.network, moves_inner, "paradigm.moves.inner")
        outer = moving(self.network, moves_outer, "paradigm.moves.outer")
        for name, parameter in self.network.named_parameters():
            parameter.requires_grad_(name in outer)
        self.passes = WordPasses(self.network, _described)

    def adapt(self, support: Examples) -> Predictor:
        """Fine-tuned in eval mode alone."""
        own = {} if self.training else self._fine_tuned(support)
        words = self.passes.support(own, support.inputs).flatten(1, 2)
        labels = tag_counts(support, self.spec.tags(support.ways), words.dtype)
        found = Predictor(self._answer, {"words": words, "labels": labels} | own)
        if not self.tau:
            return found
        table = self.transitions.log_probabilities(support.ways, self.spec.per_class, self.tau)
        return most_likely(found, table)

    def meta_loss(self, episode: Episode) -> Tensor:
        parts = (episode.support, episode.query)
        words = torch.cat([self.passes.support({}, part.inputs).flatten(1, 2) for part in parts], 1)
        labels = torch.cat([part.labels.flatten(1) for part in parts], 1)
        counted = torch.cat([part.mask.flatten(1) for part in parts], 1)
        return contrast(self._nearness(words, words, "kl"), labels, counted)

    def _fine_tuned(self, support: Examples) -> State:
        """The weights of each task, up to where its loss rises."""
        if not self.steps:
            return {}
        named, tasks = dict(self.network.named_parameters()), len(support.labels)
        weights = {
            name: named[name].detach().expand(tasks, *named[name].shape).clone().requires_grad_()
            for name in self.inner
        }
        best, least = weights, torch.full((tasks,), math.inf)
        optimizer = torch.optim.AdamW(weights.values(), fused=True, **self.descent)
        with torch.enable_grad():
            for step in range(self.steps + 1):
                words = self.passes.support(weights, support.inputs).flatten(1, 2)
                near = self._nearness(words, words, self.distance)
                loss = contrast(near, support.labels.flatten(1), support.mask.flatten(1))
                falls = loss.detach() < least.to(loss)  # no more, once it rose: least is −inf then
                least = loss.detach().where(falls, -math.inf)
                best = {name: _where(falls, weights[name].detach(), best[name]) for name in weights}
                if step == self.steps or not falls.any():
                    break
                gradients = torch.autograd.grad(loss.sum(), list(weights.values()))
                for tensor, gradient in zip(weights.values(), gradients, strict=True):
                    tensor.grad = gradient
                optimizer.step()
        return best

    def _answer(self, state: State, inputs: Inputs) -> Tensor:
        own = {name: state[name] for name in self.inner if name in state}
        words = self.passes.query(own, inputs)
        near = self._nearness(words.flatten(1, 2), state["words"], self.nearest)
        return nearest_of_tags(near, state["labels"]).unflatten(1, words.shape[1:3])

    def _nearness(self, one: Tensor, other: Tensor, by: str) -> Tensor:
        """The negative of a distance. [T, M, H + 2d], [T, S, H + 2d] -> [T, M, S]"""
        pairs = [(part[..., : self.features], part[..., self.features :]) for part in (one, other)]
        (states, gaussians), (others, other_gaussians) = pairs
        if by == "states":
            return negative_squared_distance(F.normalize(states, dim=-1), F.normalize(others, dim=-1))
        if by == "euclidean":
            return negative_squared_distance(gaussians.chunk(2, -1)[0], other_gaussians.chunk(2, -1)[0])
        return -divergence(gaussians, other_gaussians)


def _described(network: nn.Module, inputs: Inputs) -> Tensor:
    """[T, N, L, H + 2d]: of each word its state, and mean and variances of its Gaussian."""
    states = word_states(network.get_submodule("backbone"), inputs)
    return torch.cat([states, network.get_submodule("head")(states)], -1)


def _where(tasks: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return one.where(tasks.view(-1, *[1] * (one.dim() - 1)), other)
