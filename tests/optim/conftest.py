import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from metacli.optim.adaptive_metagrad import AdaptiveMetaGrad
from metacli.optim.metagrad import MetaGrad


@pytest.fixture(scope="session")
def reference():
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("reference.py"))))


@pytest.fixture
def metagrad():
    """(parameters, settings) -> the optimizer."""

    def make(*parameters, **settings):
        usual = {"radius": 1.0, "grad_bound": 1.0, "horizon": 16, "variant": "coordinate", "sketch": 3}
        return MetaGrad(params=list(parameters), **{**usual, "per_task": False, **settings})

    return make


@pytest.fixture
def adaptive():
    def make(*parameters, **settings):
        usual = {"radius": 1.0, "prior": 1.0, "variant": "coordinate", "experts": 24, "wake": "center"}
        usual |= {"grid": "pow2", "sketch": 3, "per_task": False}
        return AdaptiveMetaGrad(params=list(parameters), **{**usual, **settings})

    return make


@pytest.fixture
def played():
    """(maker, gradients [T, D], settings) -> where a parameter that began at 0 is after each, [T, D]."""

    def play(make, gradients, dtype=torch.float64, **settings):
        gradients = torch.tensor(np.asarray(gradients), dtype=dtype)
        parameter = torch.nn.Parameter(torch.zeros_like(gradients[0]))
        optimizer = make(parameter, **settings)
        points = []
        for parameter.grad in gradients:
            optimizer.step()
            points.append(parameter.detach().double().numpy().copy())
        return np.array(points)

    return play


@pytest.fixture
def heavy_tailed():
    """[T, D], some 0, some thousands of times as large as others."""

    def draw(steps, size, seed=2):
        random = np.random.default_rng(seed)
        drawn = random.normal(size=(steps, size)) * np.exp(2 * random.normal(size=(steps, size)))
        drawn *= random.random((steps, size)) < 0.7
        drawn[:, 0] *= 1e-6
        drawn[steps // 8, 1] = 1e4
        return drawn

    return draw
