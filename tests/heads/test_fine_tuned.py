"""Against the same descent, written out in numpy with gradients by hand, one task after the other."""

import numpy as np
import pytest
import torch

from metacli.heads.fine_tuned import FineTuned
from metacli.runtime import generator

HOW = {"lr": 0.3, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01, "batch": 4, "epochs": 3}


def by_hand(x, labels, start):
    state = [parameter.detach().double().numpy().copy() for parameter in (start.weight, start.bias)]
    momentum = None
    for epoch in range(HOW["epochs"]):
        order = torch.randperm(len(x), generator=generator(0, "fine-tuned head", epoch)).numpy()
        for first in range(0, len(x), HOW["batch"]):
            part = order[first : first + HOW["batch"]]
            logits = x[part] @ state[0].T + state[1]
            error = np.exp(logits) / np.exp(logits).sum(1, keepdims=True) - np.eye(3)[labels[part]]
            gradients = [error.T @ x[part] / len(part), error.mean(0)]
            gradients = [g + HOW["weight_decay"] * w for g, w in zip(gradients, state, strict=True)]
            if momentum is None:
                momentum = gradients
            else:
                damped = 1 - HOW["dampening"]
                momentum = [
                    HOW["momentum"] * m + damped * g for m, g in zip(momentum, gradients, strict=True)
                ]
            state = [w - HOW["lr"] * m for w, m in zip(state, momentum, strict=True)]
    return state


def test_a_linear_one_is_the_descent_of_the_paper_within_each_task(features, queries, support):
    head = FineTuned(features=4, kind="linear", **HOW)
    got = head.answer(head.fit(features, support), queries)
    for t in range(2):
        weight, bias = by_hand(features[t].numpy(), support.labels[t].numpy(), head.classifier(3))
        np.testing.assert_allclose(got[t], queries[t].numpy() @ weight.T + bias, rtol=1e-6)


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_it_fits_what_can_be_told_apart(kind, support):
    features = torch.eye(3, dtype=torch.float64)[support.labels] + 0.01
    head = FineTuned(features=3, kind=kind, **HOW | {"epochs": 100, "weight_decay": 0.0})
    assert torch.equal(head.answer(head.fit(features, support), features).argmax(-1), support.labels)


def test_a_cosine_one_does_not_see_how_long_features_are(features, queries, support):
    head = FineTuned(features=4, kind="cosine", **HOW)
    torch.testing.assert_close(
        head.answer(head.fit(features, support), queries),
        head.answer(head.fit(5 * features, support), 3 * queries),
    )
