"""Tags of words by the words of a support set, against loops in numpy; and what padding may not do."""

import numpy as np
import pytest
import torch

from metacli.episode import Examples
from metacli.heads.tokens import nearest_words, tag_counts, tag_means
from metacli.objectives import ABSENT, word_cross_entropy

TAGS = 4  # the last of which no word has


@pytest.fixture
def support():
    """2 tasks of 3 sentences of at most 5 words; every tag but the last occurs in each."""
    random = torch.Generator().manual_seed(0)
    labels = torch.randint(0, TAGS - 1, (2, 3, 5), generator=random)
    labels[:, 0, :3] = torch.arange(3)
    mask = torch.rand(2, 3, 5, generator=random) < 0.8
    mask[:, 0, :3] = True
    labels[:, 1, 3:] = -1
    rows = torch.arange(6).view(2, 3)
    return Examples({}, labels, mask & (labels >= 0), rows, torch.zeros(2, TAGS - 1))


@pytest.fixture
def states():
    return torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def words(states, support, task, tag):
    chosen = (support.mask & (support.labels == tag))[task]
    return states[task][chosen].numpy()


def test_means_are_over_the_words_that_count(states, support):
    means, present = tag_means(states, support, TAGS)
    assert present.tolist() == [[True, True, True, False]] * 2
    for task in range(2):
        for tag in range(TAGS - 1):
            np.testing.assert_allclose(means[task, tag], words(states, support, task, tag).mean(0))
    assert not means[:, -1].any()


def test_the_nearest_word_of_each_tag_is_found(states, support):
    queries = torch.randn(2, 4, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    labels = tag_counts(support, TAGS, states.dtype)
    found = nearest_words(queries, states.flatten(1, 2), labels)
    for task in range(2):
        for query in range(4):
            for tag in range(TAGS - 1):
                away = words(states, support, task, tag) - queries[task, query].numpy()
                np.testing.assert_allclose(found[task, query, tag], -(away**2).sum(1).min())
    assert (found[..., -1] == ABSENT).all()


def test_the_loss_counts_words_that_can_be_answered_and_no_padding(support):
    random = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 3, 5, TAGS, generator=random, dtype=torch.float64, requires_grad=True)
    labels = support.labels.clone()
    labels[0, 2, 0] = TAGS - 1
    query = Examples({}, labels, support.mask | (labels == TAGS - 1), support.rows, support.classes)
    masked = logits.masked_fill(torch.arange(TAGS) == TAGS - 1, ABSENT)
    losses = word_cross_entropy(masked, query)
    for task in range(2):
        counted = (query.mask & (labels < TAGS - 1))[task]
        chosen = logits[task][counted][:, :-1]
        expected = torch.nn.functional.cross_entropy(chosen, labels[task][counted])
        assert losses[task].item() == pytest.approx(expected.item())
    losses.sum().backward()
    assert not logits.grad[~support.mask].any()
    assert logits.grad.isfinite().all()
