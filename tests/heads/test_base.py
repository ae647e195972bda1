import numpy as np
import pytest
import torch

from metacli.heads.base import BaseStatistics


@pytest.fixture
def parts():
    """Features and classes of 30 images, the last class with one."""
    random = torch.Generator().manual_seed(0)
    features = torch.randn(30, 5, generator=random)
    labels = torch.cat([torch.arange(29) % 2, torch.tensor([2])])
    return [(features[:7], labels[:7]), (features[7:], labels[7:])]


def test_mean_class_means_and_covariances_are_those_of_all_parts_together(parts):
    features, labels = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
    found = BaseStatistics(classes=3, features=5, per_class=True)
    found.measure(parts)
    np.testing.assert_allclose(found.mean, features.mean(0), rtol=1e-5, atol=1e-6)
    for place in range(2):
        own = features[labels == place]
        np.testing.assert_allclose(found.means[place], own.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.covariances[place], np.cov(own.T), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.means[2], features[-1])
    assert not found.covariances[2].any()  # of one image nothing is known


def test_the_classes_are_left_out_where_only_the_mean_is_read(parts):
    found = BaseStatistics(classes=3, features=5, per_class=False)
    found.measure(parts)
    assert found.mean.any()
    assert found.means.shape == (0, 5)
    assert found.covariances.shape == (0, 5, 5)


def test_they_go_with_the_weights_of_a_learner(parts):
    one, other = (BaseStatistics(classes=3, features=5, per_class=True) for _ in range(2))
    one.measure(parts)
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.covariances, other.covariances)
    assert not list(one.parameters())
