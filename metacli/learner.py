"""What every method is: adapt to a support set, predict on queries, be trained on the query loss."""

import torch
from torch import Tensor, nn

from metacli.episode import Episode, Examples, Predictor, TaskSpec
from metacli.objectives import objective


class Learner(nn.Module):
    """A few-shot method. Subclasses implement `adapt`; the rest has defaults that suit most of them."""

    def __init__(self, spec: TaskSpec) -> None:
        super().__init__()
        self.spec = spec

    def adapt(self, support: Examples) -> Predictor:
        """Fit each of the T support sets. Leaves self unchanged."""
        raise TypeError(f"{type(self).__name__} does not say how it adapts")

    def query_loss(self, predictor: Predictor, query: Examples) -> Tensor:
        """Loss of each task's queries, [T]."""
        return objective(self.spec.kind)(predictor(query.inputs), query)

    def meta_loss(self, episode: Episode) -> Tensor:
        """What the outer loop descends, [T]."""
        return self.query_loss(self.adapt(episode.support), episode.query)

    def begin_step(self, step: int, steps: int, generator: torch.Generator) -> None:
        """Called before each outer step; for what changes over training."""
