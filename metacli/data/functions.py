"""Episodes of a family of functions: points of one function support, other points of the same one query."""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from metacli.data.sampler import EpisodeShape
from metacli.data.sinusoid import Range, Waves
from metacli.data.source import EVALUATION_BLOCK, EVALUATION_SEED
from metacli.episode import Episode, Examples
from metacli.runtime import generator


class FunctionSource:
    """One split. What there is to know of an episode is drawn on the CPU, so that every device sees the same."""

    def __init__(self, *, waves: Waves, split: str, device: torch.device) -> None:
        self.waves = waves
        self.split = split
        self.device = device

    def sampler(self, shape: EpisodeShape) -> EpisodeShape:
        """shots and queries are points of the function; there are no ways."""
        return shape

    def episode(self, sampler: EpisodeShape, *, seed: int, step: int, tasks: int) -> Episode:
        """The meta-batch of one outer step."""
        index = torch.arange(step * tasks, (step + 1) * tasks)
        return self._draw(index, sampler, generator(seed, self.split, step))

    def fixed_episodes(
        self, sampler: EpisodeShape, count: int, chunk: int = EVALUATION_BLOCK
    ) -> Iterator[Episode]:
        """The first `count` of an endless list of episodes that is the same for every method and run."""
        for start in range(0, count, EVALUATION_BLOCK):
            source = generator(EVALUATION_SEED, f"{self.split} evaluation", start // EVALUATION_BLOCK)
            whole = self._draw(torch.arange(start, start + EVALUATION_BLOCK), sampler, source)
            wanted = next(whole.chunks(min(EVALUATION_BLOCK, count - start)))
            yield from wanted.chunks(chunk)

    def _draw(self, index: Tensor, shape: EpisodeShape, source: torch.Generator) -> Episode:
        waves, tasks = self.waves, len(index)
        points = shape.shots + shape.queries
        amplitude = _uniform(waves.amplitude, (tasks, 1, 1), source)
        phase = _uniform(waves.phase, (tasks, 1, 1), source)
        x = _uniform(waves.x, (tasks, points, 1), source)
        y = amplitude * torch.sin(x - phase) + waves.noise * torch.randn(tasks, points, 1, generator=source)
        support, query = (
            self._examples(x[:, part], y[:, part])
            for part in (slice(None, shape.shots), slice(shape.shots, None))
        )
        return Episode(support, query, index)

    def _examples(self, x: Tensor, y: Tensor) -> Examples:
        """x, y [T, N, 1]"""
        rows = torch.full(x.shape[:2], -1)
        mask = torch.ones(x.shape[:2], dtype=torch.bool)
        return Examples({"x": x}, y, mask, rows, rows[:, :0]).to(self.device)


def sources(waves: Waves, device: torch.device) -> Mapping[str, FunctionSource]:
    return {split: FunctionSource(waves=waves, split=split, device=device) for split in waves.splits}


def _uniform(ends: Range, shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    low, high = ends
    return low + (high - low) * torch.rand(shape, generator=source)
