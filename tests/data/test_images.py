import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from metacli.data.images import ImageSource
from metacli.data.prefetch import prefetched
from metacli.data.sampler import EpisodeShape
from metacli.data.source import EVALUATION_BLOCK
from metacli.data.table import Table
from metacli.errors import UserError

SHAPE = EpisodeShape(ways=3, shots=2, queries=3)


@pytest.fixture
def source(table, device):
    return ImageSource(table=table, split="train", device=device)


def parts(episode):
    """All tensors of an episode, by name."""
    sets = {"support": episode.support, "query": episode.query}
    names = ("labels", "mask", "rows", "classes")
    found = {f"{s}.{name}": getattr(examples, name) for s, examples in sets.items() for name in names}
    images = {f"{s}.x": examples.inputs["x"] for s, examples in sets.items()}
    return found | images | {"index": episode.index}


def same(one, other):
    one, other = parts(one), parts(other)
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def joined(episodes):
    found = [parts(episode) for episode in episodes]
    return {name: torch.cat([part[name] for part in found]) for name in found[0]}


def test_shapes_and_labels_are_those_of_the_contract(source, device):
    episode = source.episode(source.sampler(SHAPE), seed=0, step=2, tasks=4)
    assert episode.support.inputs["x"].shape == (4, 6, 1, 8, 8)
    assert episode.query.inputs["x"].shape == (4, 9, 1, 8, 8)
    assert episode.support.labels.tolist() == [[0, 0, 1, 1, 2, 2]] * 4
    assert episode.query.labels.tolist() == [[0, 0, 0, 1, 1, 1, 2, 2, 2]] * 4
    assert episode.query.mask.all()
    assert episode.query.ways == 3
    assert episode.index.tolist() == [8, 9, 10, 11]
    tensors = parts(episode)
    del tensors["index"]
    assert {tensor.device.type for tensor in tensors.values()} == {device.type}


def test_images_rows_labels_and_classes_speak_of_the_same_items(source, table):
    episode = source.episode(source.sampler(SHAPE), seed=0, step=0, tasks=5)
    for examples in (episode.support, episode.query):
        rows = examples.rows.cpu().numpy()
        pixels = torch.from_numpy(table.images[rows]).permute(0, 1, 4, 2, 3) / 255
        torch.testing.assert_close(examples.inputs["x"].cpu(), pixels)
        classes = examples.classes.gather(1, examples.labels).cpu().numpy()
        np.testing.assert_array_equal(table.labels[rows], classes)
        assert np.isin(classes, table.splits["train"]).all()


def test_support_and_query_share_no_item(source):
    episode = source.episode(source.sampler(EpisodeShape(3, 10, 10)), seed=0, step=0, tasks=20)
    for support, query in zip(episode.support.rows.tolist(), episode.query.rows.tolist(), strict=True):
        assert len({*support, *query}) == 60


def test_splits_share_neither_classes_nor_rows(table):
    rows, classes = {}, {}
    for split in table.splits:
        source = ImageSource(table=table, split=split, device=torch.device("cpu"))
        whole = joined(source.fixed_episodes(source.sampler(SHAPE), 128))
        rows[split] = {*whole["support.rows"].flatten().tolist(), *whole["query.rows"].flatten().tolist()}
        classes[split] = set(whole["support.classes"].flatten().tolist())
    assert classes == {split: set(ids.tolist()) for split, ids in table.splits.items()}
    assert rows == {
        split: set(np.flatnonzero(np.isin(table.labels, ids)).tolist()) for split, ids in table.splits.items()
    }


def test_ragged_classes_give_their_own_rows_only(table):
    kept = np.arange(300) % 7 != 0
    ragged = Table(
        images=table.images[kept],
        labels=table.labels[kept],
        classes=table.classes,
        items=tuple(np.array(table.items)[kept]),
        splits=table.splits,
    )
    source = ImageSource(table=ragged, split="train", device=torch.device("cpu"))
    assert len(set(source.counts.tolist())) > 1
    shape = EpisodeShape(3, 2, int(source.counts.min()) - 2)
    episode = source.episode(source.sampler(shape), seed=0, step=0, tasks=50)
    for examples in (episode.support, episode.query):
        classes = examples.classes.gather(1, examples.labels).numpy()
        np.testing.assert_array_equal(ragged.labels[examples.rows.numpy()], classes)
        assert all(len(set(rows)) == len(rows) for rows in examples.rows.tolist())


def test_seed_and_step_decide_a_training_episode(source):
    sampler = source.sampler(SHAPE)
    first = source.episode(sampler, seed=0, step=3, tasks=4)
    assert same(first, source.episode(source.sampler(SHAPE), seed=0, step=3, tasks=4))
    assert not same(first, source.episode(sampler, seed=1, step=3, tasks=4))
    assert not torch.equal(first.query.rows, source.episode(sampler, seed=0, step=4, tasks=4).query.rows)


def test_the_first_fixed_episodes_depend_neither_on_how_many_nor_on_the_chunk(source):
    sampler = source.sampler(SHAPE)
    longest = joined(source.fixed_episodes(sampler, 2 * EVALUATION_BLOCK + 9, 64))
    for count in (1, EVALUATION_BLOCK, EVALUATION_BLOCK + 3):
        for chunk in (1, 7, 64, 1000):
            episodes = list(source.fixed_episodes(sampler, count, chunk))
            assert max(len(episode) for episode in episodes) <= chunk
            whole = joined(episodes)
            assert len(whole["index"]) == count
            assert all(torch.equal(tensor, longest[name][:count]) for name, tensor in whole.items())


def test_images_of_fixed_episodes_are_gathered_chunk_by_chunk(source, monkeypatch):
    gathered = []
    whole = source._examples
    monkeypatch.setattr(source, "_examples", lambda rows, c: gathered.append(len(rows)) or whole(rows, c))
    next(iter(source.fixed_episodes(source.sampler(SHAPE), 64, 4)))
    assert gathered == [4, 4]


def test_no_two_blocks_of_fixed_episodes_are_alike(source):
    whole = joined(source.fixed_episodes(source.sampler(SHAPE), 3 * EVALUATION_BLOCK))
    assert len({tuple(rows) for rows in whole["query.rows"].tolist()}) == 3 * EVALUATION_BLOCK
    assert whole["index"].tolist() == list(range(3 * EVALUATION_BLOCK))


def test_fixed_episodes_are_not_those_of_training(source):
    sampler = source.sampler(SHAPE)
    fixed = next(iter(source.fixed_episodes(sampler, 64)))
    assert not torch.equal(fixed.query.rows, source.episode(sampler, seed=0, step=0, tasks=64).query.rows)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (EpisodeShape(10, 1, 1), "episode.train.ways=10: the train split has 9 classes"),
        (EpisodeShape(3, 10, 11), "10 shots \\+ 11 queries need 21 items a class"),
    ],
)
def test_impossible_episodes_are_refused(source, shape, said):
    with pytest.raises(UserError, match=said):
        source.sampler(shape)


def test_ways_are_counted_in_things_where_classes_are_variants_of_them(table):
    """9 training classes are three things in three forms each."""
    source = ImageSource(table=replace(table, variants=3), split="train", device=torch.device("cpu"))
    episode = source.episode(source.sampler(SHAPE), seed=0, step=0, tasks=20)
    ids = table.splits["train"].tolist()
    for classes in episode.query.classes.tolist():
        assert sorted(ids.index(c) // 3 for c in classes) == [0, 1, 2]
    with pytest.raises(UserError, match="ways=4: the train split has 3 classes"):
        source.sampler(EpisodeShape(4, 1, 1))


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_episodes_prepared_ahead_are_the_same(source, workers):
    sampler = source.sampler(SHAPE)

    def make(step):
        return source.episode(sampler, seed=0, step=step, tasks=3)

    take = prefetched(make, workers, steps=8)
    assert all(same(take(step), make(step)) for step in range(3, 8))


def test_no_more_episodes_are_prepared_than_workers_and_steps_allow():
    made, lock = [], threading.Lock()

    def make(step):
        with lock:
            made.append(step)
        return step

    take = prefetched(make, 2, steps=6)
    assert take(0) == 0
    time.sleep(0.05)
    assert set(made) <= {0, 1, 2}
    assert [take(step) for step in range(1, 6)] == [1, 2, 3, 4, 5]
    assert sorted(made) == [0, 1, 2, 3, 4, 5]


def test_an_error_while_preparing_reaches_the_one_who_takes():
    def make(step):
        raise UserError("no image", "")

    with pytest.raises(UserError, match="no image"):
        prefetched(make, 2, steps=3)(0)
