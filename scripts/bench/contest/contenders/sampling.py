"""metacli's data: a meta-batch sampled and gathered from a table as large as Omniglot's with rotations."""

import metacli  # first: sets how OpenMP waits

assert metacli.__version__

import numpy as np  # noqa: E402
import torch  # noqa: E402

from contest.work import Work  # noqa: E402
from metacli.data.images import ImageSource  # noqa: E402
from metacli.data.sampler import EpisodeShape  # noqa: E402
from metacli.data.table import Table  # noqa: E402
from metacli.runtime import prepare  # noqa: E402

CLASSES, EACH = 4 * 1028, 20  # of the training split


class Entry:
    def __init__(self, work: Work, device: torch.device, threads: int, dtype: torch.dtype) -> None:
        prepare(device, threads)
        channels, height, width = work.shape
        drawn = np.random.Generator(np.random.PCG64(0)).integers(
            256, size=(CLASSES * EACH, height, width, channels), dtype=np.uint8
        )
        names = tuple(map(str, range(CLASSES)))
        table = Table(
            images=drawn,
            labels=np.repeat(np.arange(CLASSES), EACH),
            classes=names,
            items=(),
            splits={"train": np.arange(CLASSES)},
        )
        self.source = ImageSource(table=table, split="train", device=device)
        self.sampler = self.source.sampler(EpisodeShape(work.ways, work.shots, work.queries))
        self.tasks = work.tasks
        self.steps = 0

    def step(self) -> None:
        self.source.episode(self.sampler, seed=0, step=self.steps, tasks=self.tasks)
        self.steps += 1

    def outcome(self) -> None:
        """Other random numbers than anyone else's."""
