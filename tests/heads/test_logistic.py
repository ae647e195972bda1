from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from metacli.heads.logistic import Logistic


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@pytest.mark.parametrize("ways", [2, 3])
def test_its_probabilities_are_those_of_scikit_learn_on_unit_features(ways, features, queries, support):
    support = replace(support, labels=support.labels % ways, classes=support.classes[:, :ways])
    head = Logistic(inverse_ridge=0.7)
    got = head.answer(head.fit(features, support), queries).softmax(-1)
    for t in range(2):
        fitted = LogisticRegression(C=0.7, max_iter=1000).fit(
            unit(features[t].numpy()), support.labels[t].numpy()
        )
        np.testing.assert_allclose(got[t], fitted.predict_proba(unit(queries[t].numpy())), rtol=1e-9)


def test_a_label_that_does_not_count_is_not_fitted(features, queries, support):
    head = Logistic(inverse_ridge=1.0)
    fewer = replace(support, mask=support.mask & (torch.arange(6) < 5))
    moved = features.clone()
    moved[:, 5] += 10
    torch.testing.assert_close(
        head.answer(head.fit(features, fewer), queries), head.answer(head.fit(moved, fewer), queries)
    )
