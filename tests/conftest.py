"""What many tests share: the devices of this machine, and a small data set made of numbers."""

import numpy as np
import pytest
import torch

from metacli.data.table import Table

torch.set_num_threads(1)  # the tensors of the tests are tiny

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@pytest.fixture(params=DEVICES)
def device(request):
    return torch.device(request.param)


def make_table() -> Table:
    """15 classes x 20 images [8, 8, 1]; splits of 9, 3 and 3 classes; rows in no order.

    A class is a pattern of 4 x 4 cells, drawn faintly. Within each cell of 2 x 2 pixels lies strong noise that
    sums to nothing: raw pixels do little better than chance, and to average cells can be learned.
    """
    random = np.random.default_rng(0)
    labels = random.permutation(np.repeat(np.arange(15), 20))
    cells = random.choice([-1.0, 1.0], size=(15, 4, 4))[labels] + 0.3 * random.normal(size=(300, 4, 4))
    noise = random.normal(size=(300, 4, 2, 4, 2))
    noise -= noise.mean((2, 4), keepdims=True)
    values = 128 + 10 * cells[:, :, None, :, None] + 35 * noise
    ids = random.permutation(15)
    return Table(
        images=values.clip(0, 255).astype(np.uint8).reshape(-1, 8, 8, 1),
        labels=labels,
        classes=tuple(f"class {c:02d}" for c in range(15)),
        items=tuple(f"images/{row:03d}.png" for row in range(300)),
        splits={"train": np.sort(ids[:9]), "val": np.sort(ids[9:12]), "test": np.sort(ids[12:])},
    )


@pytest.fixture
def table() -> Table:
    return make_table()
