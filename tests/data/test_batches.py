"""Whole classes in mini-batches: every image of meta-train once an epoch, and none of another split ever."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from metacli.data.batches import Batches
from metacli.data.images import ImageSource, scaled
from metacli.data.table import Augmentation

CPU = torch.device("cpu")


@pytest.fixture
def source(table):
    return ImageSource(table=table, split="train", device=CPU)


def make(source, *, size=32, held_out=0.0, seed=0, purpose="test", images=None):
    return Batches(source, size=size, held_out=held_out, seed=seed, purpose=purpose, images=images)


def epoch(batches, number=0):
    return [
        batches.batch(step).query
        for step in range(number * batches.per_epoch, (number + 1) * batches.per_epoch)
    ]


def rows(parts):
    return torch.cat([part.rows[0] for part in parts])


def train_rows(table):
    return np.flatnonzero(np.isin(table.labels, table.splits["train"]))


def test_an_epoch_has_every_image_of_the_meta_train_classes_once(source, table):
    for number in (0, 1):
        assert sorted(rows(epoch(make(source), number)).tolist()) == train_rows(table).tolist()


def test_batches_are_as_even_as_can_be(source):
    assert [part.rows.shape for part in epoch(make(source, size=32))] == [(1, 30)] * 6  # 180 images
    assert sorted(len(part.rows[0]) for part in epoch(make(source, size=50))) == [45] * 4
    assert len(epoch(make(source, size=1000))) == 1


def test_a_batch_is_a_task_whose_ways_are_all_classes(source, table):
    episode = make(source).batch(3)
    query = episode.query
    assert len(episode) == 1
    assert episode.support.labels.shape == (1, 0)
    assert query.classes.tolist() == [table.splits["train"].tolist()]
    assert query.classes[0][query.labels[0]].tolist() == table.labels[query.rows[0]].tolist()
    assert torch.equal(query.inputs["x"][0], scaled(torch.from_numpy(table.images))[query.rows[0]])
    assert query.mask.all()


def test_the_order_depends_on_seed_epoch_and_purpose_alone(source):
    def order(number=0, **how):
        return rows(epoch(make(source, **how), number)).tolist()

    assert order() == order()
    assert len({tuple(found) for found in (order(), order(1), order(seed=1), order(purpose="other"))}) == 4
    batches = make(source)
    later = batches.batch(8).query.rows
    batches.batch(0)
    assert torch.equal(batches.batch(8).query.rows, later)  # whatever was asked for before


def test_what_is_held_out_is_in_no_batch_and_spread_over_the_classes(source, table):
    batches = make(source, held_out=0.1)
    out = rows(part.query for part in batches.held_out())
    assert sorted([*out.tolist(), *rows(epoch(batches)).tolist()]) == train_rows(table).tolist()
    assert np.unique(table.labels[out], return_counts=True)[1].tolist() == [2] * 9
    assert list(make(source).held_out()) == []


def test_so_many_images_are_drawn_where_there_are_more(source):
    some = rows(part.query for part in make(source, images=70).every())
    assert len(set(some.tolist())) == 70
    assert set(some.tolist()) != set(rows(p.query for p in make(source, images=70, seed=1).every()).tolist())
    assert len(rows(part.query for part in make(source, images=1000).every())) == 180


def test_every_image_comes_as_it_is_class_by_class(source, table):
    varied = ImageSource(
        table=replace(table, augmentation=Augmentation(flip=True)), split="train", device=CPU
    )
    labels = torch.cat([part.query.labels[0] for part in make(varied).every()])
    assert torch.equal(labels, labels.sort().values)
    for part in make(varied).every():
        assert torch.equal(
            part.query.inputs["x"][0], scaled(torch.from_numpy(table.images))[part.query.rows[0]]
        )


def test_batches_are_varied_as_the_data_set_says_each_step_anew(source, table):
    varied = ImageSource(
        table=replace(table, augmentation=Augmentation(flip=True)), split="train", device=CPU
    )
    plain, flipped = make(source).batch(2).query, make(varied).batch(2).query
    assert torch.equal(plain.rows, flipped.rows)
    changed = [
        not torch.equal(a, b) for a, b in zip(plain.inputs["x"][0], flipped.inputs["x"][0], strict=True)
    ]
    assert 5 < sum(changed) < 25
    assert torch.equal(flipped.inputs["x"], make(varied).batch(2).query.inputs["x"])


@pytest.mark.parametrize("split", ["val", "test"])
def test_images_of_another_split_are_refused(split, source, table):
    with pytest.raises(ValueError, match=f"images of the {split} split are not to be trained on"):
        make(ImageSource(table=table, split=split, device=CPU))
    foreign = np.flatnonzero(np.isin(table.labels, table.splits[split]))[:1]
    with pytest.raises(ValueError, match="not of the train split"):
        source.whole(torch.from_numpy(foreign))
