"""Against the same descent in numpy, and against the optimizers on each task by itself."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from metacli import build
from metacli.config.compose import composed, values_of
from metacli.config.validate import validate
from metacli.errors import UserError
from metacli.heads.centroid import class_means
from metacli.heads.probe import Probe
from metacli.optim.adaptive_metagrad import AdaptiveMetaGrad
from metacli.optim.metagrad import MetaGrad
from metacli.optim.per_task import PerTask

ALIKE = {"radius": 0.3, "sketch": 3, "per_task": True}
ADAPTIVE = {"prior": 0.3, "experts": 20, "wake": "current", "grid": "pow2"}


def metagrad(variant, bound=None):
    return lambda params, steps: MetaGrad(
        params=params, variant=variant, horizon=steps, grad_bound=bound, **ALIKE
    )


def adaptive(params, steps):
    return AdaptiveMetaGrad(params=params, variant="coordinate", **ADAPTIVE, **ALIKE)


def sgd(params, steps):
    return torch.optim.SGD(params, lr=1.0)


def probe(optimizer, steps=9, lr=None, schedule="constant"):
    return Probe(scale=3.0, descent=PerTask(optimizer, steps, lr, schedule))


def only(examples, task):
    return replace(
        examples,
        **{name: getattr(examples, name)[[task]] for name in ("labels", "mask", "rows", "classes")},
    )


def test_it_is_descent_on_the_cross_entropy_from_the_class_means_at_the_rate_of_the_schedule(
    features, queries, support
):
    got = probe(sgd, steps=4, lr=0.5, schedule="linear")
    got = got.answer(got.fit(features, support), queries)
    for t in range(2):
        x, asked = (
            np.c_[part / np.linalg.norm(part, axis=1, keepdims=True), np.ones(len(part))]
            for part in (features[t].numpy(), queries[t].numpy())
        )
        one_hot = np.eye(3)[support.labels[t].numpy()]
        weights = np.c_[(one_hot.T @ x[:, :-1]) / 2, np.zeros(3)]
        for step in range(4):
            logits = 3.0 * x @ weights.T
            error = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) - one_hot
            weights -= 0.5 * (1 - step / 4) * 3.0 * error.T @ x / len(x)
        np.testing.assert_allclose(got[t], 3.0 * asked @ weights.T, rtol=1e-6)


@pytest.mark.parametrize("optimizer", [metagrad("coordinate"), metagrad("full"), adaptive])
def test_a_task_is_fitted_as_if_it_were_alone(optimizer, features, support):
    features = torch.stack([features[0], features[1] ** 4])
    together = probe(optimizer).fit(features, support)["weights"]
    for t in range(2):
        alone = probe(optimizer).fit(features[[t]], only(support, t))["weights"]
        torch.testing.assert_close(together[[t]], alone, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("variant", ["coordinate", "full"])
def test_metagrads_bound_is_twice_the_first_gradient_of_the_task(variant, features, support):
    x = F.pad(F.normalize(features[[0]], dim=-1), (0, 1), value=1.0)
    start = class_means(x, only(support, 0))
    start[..., -1] = 0
    error = (3.0 * x @ start.transpose(1, 2)).softmax(-1) - F.one_hot(support.labels[[0]], 3)
    first = 3.0 * error.transpose(1, 2) @ x / x.shape[1]
    bound = 2 * float(first.abs().max() if variant == "coordinate" else first.norm())
    fit = partial(Probe.fit, features=features[[0]], support=only(support, 0))
    torch.testing.assert_close(
        fit(probe(metagrad(variant)))["weights"],
        fit(probe(metagrad(variant, bound)))["weights"],
        rtol=1e-6,
        atol=1e-7,
    )


@pytest.mark.parametrize("optimizer", [metagrad("coordinate"), adaptive])
def test_optimizers_without_a_rate_lower_the_loss(optimizer, features, support):
    def loss(steps):
        head = probe(optimizer, steps)
        logits = head.answer(head.fit(features, support), features)
        return F.cross_entropy(logits.flatten(0, 1), support.labels.flatten())

    assert loss(60) < 0.8 * loss(1)


def test_heads_that_do_not_fit_into_memory_are_refused_before_anything_runs(monkeypatch):
    monkeypatch.setattr(build, "free_memory", lambda device: 20_000_000_000)
    overrides = ["paradigm=frozen", "head=probe", "optimizer@head.optimizer=adaptive_metagrad"]
    config = validate(values_of(composed([*overrides, "head.optimizer.variant=full", "head.steps=30"])[0]))
    with pytest.raises(
        UserError, match=r"variant=full: \d+\.\d GB for heads of 64 tasks, and 20\.0 GB are free"
    ):
        build._fitting(config, 1280)
    assert build._fitting(config, 64)["descent"].lr is None
