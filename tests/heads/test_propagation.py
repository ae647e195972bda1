from dataclasses import replace

import numpy as np
import pytest
import torch

from metacli.heads.propagation import LabelPropagation


def plain_shares(points, known, ways, neighbours, alpha, spread=None):
    """What labels that spread for long come to. points [M, D], known: labels of the first, one by one -> [M, W]"""
    count = len(points)
    distance = np.array([[np.linalg.norm(p - q) for q in points] for p in points])
    spread = spread or np.median([distance[i, j] for i in range(count) for j in range(count) if i != j])
    weights = np.exp(-(distance**2) / (2 * spread**2))
    near = np.zeros((count, count), dtype=bool)
    for i in range(count):
        near[i, np.argsort(distance[i])[:neighbours]] = True
    weights[~(near | near.T)] = 0
    degree = weights.sum(1)
    s = np.array(
        [[weights[i, j] / np.sqrt(degree[i] * degree[j]) for j in range(count)] for i in range(count)]
    )
    labels = np.zeros((count, ways))
    labels[np.arange(len(known)), known] = 1
    shares = labels
    for _ in range(2000):
        shares = alpha * s @ shares + labels
    return shares


@pytest.mark.parametrize(("neighbours", "alpha"), [(4, 0.9), (6, 0.5), (100, 0.9)])
def test_it_is_where_labels_come_to_that_spread_step_by_step(neighbours, alpha, features, queries, support):
    head = LabelPropagation(neighbours=neighbours, alpha=alpha)
    got = head.answer(head.fit(features, support), queries).exp()
    for t in range(2):
        points = np.concatenate([features[t], queries[t]])
        expected = plain_shares(points, support.labels[t].numpy(), 3, neighbours, alpha)
        np.testing.assert_allclose(got[t], expected[6:], rtol=1e-9)


def test_an_item_that_does_not_count_is_no_node(features, queries, support):
    head = LabelPropagation(neighbours=4, alpha=0.9)
    fewer = replace(support, mask=support.mask & (torch.arange(6) < 5))
    got = head.answer(head.fit(features, fewer), queries).exp()
    points = np.concatenate([features[0, :5], queries[0]])
    expected = plain_shares(points, support.labels[0, :5].numpy(), 3, 4, 0.9)
    np.testing.assert_allclose(got[0], expected[5:], rtol=1e-9)


def test_items_that_are_all_the_same_are_answered_by_a_draw(features, queries, support):
    head = LabelPropagation(neighbours=100, alpha=0.9)
    got = head.answer(head.fit(torch.ones_like(features), support), torch.ones_like(queries))
    torch.testing.assert_close(got.softmax(2), torch.full_like(got, 1 / 3))
