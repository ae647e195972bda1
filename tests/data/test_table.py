"""What stands for a table in manifests."""

from dataclasses import replace

import numpy as np


def test_the_split_fingerprint_changes_when_a_class_moves_and_the_data_fingerprint_does_not(table):
    train, val = table.splits["train"], table.splits["val"]
    moved = replace(table, splits={**table.splits, "train": train[1:], "val": np.append(val, train[0])})
    assert moved.split_fingerprint != table.split_fingerprint
    assert moved.fingerprint == table.fingerprint
    assert replace(table).split_fingerprint == table.split_fingerprint
