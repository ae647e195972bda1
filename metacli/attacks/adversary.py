"""An attack on a learner: what is attacked, with which random starts, in which state of the network.

Queries are attacked through the predictor that their support set gives, a support set through the one that it gives
itself as it is (ours). The network is as for the reported prediction: in eval mode, its running statistics are neither
moved nor recorded, and where queries are normalised together they are attacked together. Random starts depend on the
seed, on what is attacked and on the global number of the episode alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from metacli.attacks.attack import Attack, Loss, Noise
from metacli.attacks.space import Space, space_of
from metacli.episode import Episode, Examples, Predictor
from metacli.layers import recorded
from metacli.learner import Learner
from metacli.objectives import decode, objective
from metacli.runtime import generator

TrainOn = Literal["none", "query", "support", "both"]

WITHSTAND_SEED = 0  # of the random starts in evaluation, which are those of every run


@dataclass(frozen=True)
class Adversary:
    """train_on: which sets of a training episode are attacked."""

    attack: Attack
    train_on: TrainOn
    seed: int

    def versions(self, learner: Learner, episode: Episode) -> Sequence[Episode]:
        """The episodes to train on in place of this one; the mean of their losses counts."""
        if self.train_on == "none":
            return [episode]
        support, query = as_points(learner, episode.support), as_points(learner, episode.query)
        supports, queries = [support], [query]
        with undisturbed(learner):
            if self.train_on in ("support", "both"):
                supports = self._attacked(learner, support, episode.support, episode.index, "support")
            if self.train_on in ("query", "both"):
                queries = self._attacked(learner, supports[-1], episode.query, episode.index, "query")
        count = max(len(supports), len(queries))
        pairs = zip(supports * (count // len(supports)), queries * (count // len(queries)), strict=True)
        return [replace(episode, support=one, query=other) for one, other in pairs]

    def _attacked(
        self, learner: Learner, support: Examples, examples: Examples, index: Tensor, what: str
    ) -> list[Examples]:
        with torch.no_grad():
            predictor = learner.adapt(support)
        space = space_of(learner, examples)
        loss, noise = loss_of(predictor, examples, learner, space), starts(space.x, index, self.seed, what)
        return [with_x(examples, space.inputs(at)) for at in self.attack.to_train_on(loss, space, noise)]


@dataclass(frozen=True)
class Trial:
    """What test episodes are put to: the first `episodes` of them, at each of `epsilons`, 0 and then ascending."""

    attack: Attack
    epsilons: tuple[float, ...]
    episodes: int

    def outcome(self, learner: Learner, predictor: Predictor, episode: Episode) -> dict[str, Tensor]:
        """Of the t tasks that are among the first episodes, each [t, Q, len(epsilons)].

        withstood: whether the answer is right as the query is, and under every attack up to that epsilon · confidence:
        the least that the true class was given in all of these.
        """
        tried = int((episode.index < self.episodes).sum())
        query = episode.query
        right, confidence = _answered(predictor, query)
        rows = []
        for epsilon in self.epsilons:
            for x in self._attacked(learner, predictor, episode, epsilon) if epsilon and tried else ():
                right_there, confidence_there = _answered(predictor, with_x(query, x))
                right, confidence = right & right_there, torch.minimum(confidence, confidence_there)
            rows.append((right, confidence))
        withstood, least = (torch.stack(columns, 2)[:tried] for columns in zip(*rows, strict=True))
        return {"withstood": withstood, "least_confidence": least}

    def _attacked(
        self, learner: Learner, predictor: Predictor, episode: Episode, epsilon: float
    ) -> Iterator[Tensor]:
        space = space_of(learner, episode.query)
        loss = loss_of(predictor, episode.query, learner, space)
        noise = starts(space.x, episode.index, WITHSTAND_SEED, "test query")
        for at in self.attack.to_withstand(loss, space, noise, epsilon):
            yield space.inputs(at)


def loss_of(predictor: Predictor, examples: Examples, learner: Learner, space: Space) -> Loss:
    """Of the examples at other points; what the predictor knows stays fixed."""
    fixed = predictor.detach()

    def loss(at: Tensor) -> Tensor:
        return objective(learner.spec.kind)(fixed(with_x(examples, space.inputs(at)).inputs), examples)

    return loss


def starts(x: Tensor, index: Tensor, seed: int, purpose: str) -> Noise:
    """x: points as theirs [T, ...] · index [T]: the global numbers of the episodes."""

    def noise(number: int) -> Tensor:
        drawn = [
            torch.rand(
                x.shape[1:], generator=generator(seed, f"attack on {purpose}, start {number}", episode)
            )
            for episode in index.tolist()
        ]
        return torch.stack(drawn).to(x).mul_(2).sub_(1)

    return noise


def as_points(learner: Learner, examples: Examples) -> Examples:
    """As they are, in the form that they have when they are attacked, so that both kinds go through together."""
    space = space_of(learner, examples)
    return with_x(examples, space.inputs(space.x))


def with_x(examples: Examples, x: Tensor) -> Examples:
    return replace(examples, inputs={**examples.inputs, "x": x})


@contextmanager
def undisturbed(learner: Learner) -> Iterator[None]:
    """As for a reported prediction; afterwards nothing has happened."""
    was_training = learner.training
    try:
        learner.eval()
        with recorded(learner, differentiable=False):
            yield
    finally:
        learner.train(was_training)


def _answered(predictor: Predictor, examples: Examples) -> tuple[Tensor, Tensor]:
    """Whether each label is right, and the probability of the true one, [T, N]."""
    outputs = predictor(examples.inputs)
    label, _ = decode(outputs)
    truth = outputs.softmax(-1).gather(2, examples.labels.clamp_min(0).unsqueeze(2)).squeeze(2)
    return label == examples.labels, truth.to(torch.float32)
