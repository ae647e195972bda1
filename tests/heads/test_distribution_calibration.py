import numpy as np
import pytest
import torch

from metacli.errors import UserError
from metacli.heads.distribution_calibration import DistributionCalibration


@pytest.fixture
def make_head(base):
    def make(samples=300, spread=0.21):
        head = DistributionCalibration(
            features=4, train_classes=5, samples=samples, nearest=2, spread=spread, power=0.5
        ).double()
        head.base.measure(base)
        return head

    return make


def test_an_item_is_calibrated_by_the_two_classes_nearest_to_it(make_head, features, base):
    x, labels = (part.numpy() for part in base[0])
    means = np.stack([x[labels == c].mean(0) for c in range(5)])
    covariances = np.stack([np.cov(x[labels == c].T) for c in range(5)])
    mean, covariance = make_head().calibrated(features)
    for t, item in np.ndindex(2, 6):
        own = features[t, item].numpy()
        near = np.argsort(np.linalg.norm(means - own, axis=1))[:2]
        np.testing.assert_allclose(mean[t, item], (means[near].sum(0) + own) / 3, rtol=1e-6)
        np.testing.assert_allclose(covariance[t, item], covariances[near].mean(0) + 0.21, rtol=1e-6)


def test_what_is_drawn_has_the_mean_and_the_covariance_asked_for(make_head, features):
    head = make_head()
    mean, covariance = head.calibrated(features)
    drawn = head.draw(features, 20_000)[0, 0].numpy()
    np.testing.assert_allclose(drawn.mean(0), mean[0, 0], atol=0.02)
    np.testing.assert_allclose(np.cov(drawn.T), covariance[0, 0], atol=0.02)


def test_the_answer_to_a_task_depends_on_nothing_but_the_task(make_head, features, queries, support):
    head = make_head()
    both = head.answer(head.fit(features, support), queries)
    alone = head.answer(head.fit(features[1:], support.tasks(1, 2)), queries[1:])
    torch.testing.assert_close(both[1:], alone)


def test_it_tells_apart_what_can_be_told_apart(make_head, support):
    features = torch.eye(4, dtype=torch.float64)[support.labels]
    head = make_head(spread=0.0)
    assert torch.equal(head.answer(head.fit(features, support), features).argmax(-1), support.labels)


def test_negative_features_are_refused(make_head, features, support):
    with pytest.raises(UserError, match="negative"):
        make_head().fit(features - 1, support)
