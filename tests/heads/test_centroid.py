import numpy as np
import pytest

from metacli.heads.centroid import Centroid


@pytest.mark.parametrize("transform", ["none", "l2n", "cl2n"])
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_it_is_what_numpy_says(transform, distance, features, queries, support, base):
    head = Centroid(features=4, transform=transform, distance=distance).double()
    centre = np.zeros(4)
    if transform == "cl2n":
        head.base.measure(base)
        centre = base[0][0].numpy().mean(0)
    got = head.answer(head.fit(features, support), queries)

    def transformed(x):
        x = x.numpy() - centre
        return x if transform == "none" else x / np.linalg.norm(x, axis=1, keepdims=True)

    for t in range(2):
        x, y, labels = transformed(features[t]), transformed(queries[t]), support.labels[t].numpy()
        means = np.stack([x[labels == c].mean(0) for c in range(3)])
        if distance == "euclidean":
            expected = -((y[:, None] - means) ** 2).sum(2)
        else:
            expected = y @ means.T / (np.linalg.norm(y, axis=1)[:, None] * np.linalg.norm(means, axis=1))
        np.testing.assert_allclose(got[t], expected, rtol=1e-9)
