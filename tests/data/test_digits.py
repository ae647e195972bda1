import numpy as np
from sklearn.datasets import load_digits

from metacli.data.digits import Digits


def test_the_digits_are_those_of_scikit_learn_under_their_names():
    table = Digits(split_sizes=[4, 3, 3], split_seed=0).build()
    source = load_digits()
    assert table.images.shape == (1797, 8, 8, 1)
    assert table.images.max() == 255
    np.testing.assert_allclose(table.images[..., 0] / 255, source.images / 16, atol=0.5 / 255)
    assert [table.classes[label] for label in table.labels] == [str(digit) for digit in source.target]


def test_the_description_counts_what_the_table_holds():
    digits = Digits(split_sizes=[0.4, 0.3, 0.3], split_seed=3)
    table, description = digits.build(), digits.describe()
    assert description.shape == table.shape
    for split, ids in table.splits.items():
        counts = {table.classes[c]: int((table.labels == c).sum()) for c in ids}
        assert description.splits[split] == counts
    assert sorted(np.concatenate(list(table.splits.values())).tolist()) == list(range(10))
