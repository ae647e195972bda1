"""What a learner becomes when it is adapted to named classes, and what it answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic

import numpy as np
import torch

from metacli.episode import Predictor
from metacli.library.images import ImageReader, Images
from metacli.library.labels import Label
from metacli.library.texts import Strings, TextReader
from metacli.runtime import borrowed, prepare, usual_tensors


@dataclass(frozen=True, eq=False)
class Predictions(Generic[Label]):
    """The answers for N images or texts.

    labels: the likeliest class of each · probabilities [N, W] float32, a column a class · classes: those of the
    columns.
    """

    labels: list[Label]
    probabilities: np.ndarray
    classes: tuple[Label, ...]

    @property
    def confidence(self) -> np.ndarray:
        """[N], the probability of each label."""
        return self.probabilities.max(axis=1)


@dataclass(frozen=True, eq=False)
class ClassPredictor(Generic[Label]):
    """classes: in the order in which the support set named them · predictor: of one task, in core types."""

    classes: tuple[Label, ...]
    predictor: Predictor = field(repr=False)
    read: ImageReader | TextReader = field(repr=False)

    def __call__(self, items: Images | Strings) -> Predictions[Label]:
        """items: images, see `ImageReader`, or texts. Raises UserError where the network cannot take them."""
        with exactly(self.read.device):
            x = self.read(items)[None]  # type: ignore[arg-type]
            probabilities = self.predictor({"x": x})[0].softmax(-1)  # [N, W]
        labels = [self.classes[place] for place in probabilities.argmax(-1).tolist()]
        return Predictions(labels, probabilities.cpu().numpy(), self.classes)


@contextmanager
def exactly(device: torch.device) -> Iterator[None]:
    """Without gradients, and as exact as a run is: on a GPU torch itself rounds more."""
    with borrowed() if device.type == "cuda" else usual_tensors(), torch.no_grad():
        if device.type == "cuda":
            prepare(device, torch.get_num_threads())
        yield
