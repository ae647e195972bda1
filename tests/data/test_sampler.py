import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import metacli
from metacli.data.sampler import EpisodeShape, Sampler
from metacli.runtime import generator

# Six classes of 4 to 9 items; row 100·c + i is item i of class c, and −7 is padding.
COUNTS = torch.tensor([4, 9, 5, 6, 4, 8])
MEMBERS = torch.where(torch.arange(9) < COUNTS[:, None], 100 * torch.arange(6)[:, None] + torch.arange(9), -7)
SHAPE = EpisodeShape(ways=3, shots=2, queries=2)


def drawn(seed=0, tasks=500, shape=SHAPE):
    return Sampler(MEMBERS, COUNTS, shape).sample(tasks, generator(seed, "test"))


def test_rows_belong_to_their_class_and_stand_once_in_an_episode():
    classes, rows = drawn()
    assert classes.shape == (500, 3)
    assert rows.shape == (500, 3, 4)
    assert torch.equal(rows // 100, classes[:, :, None].expand_as(rows))
    for one in torch.cat([rows.flatten(1), -1 - classes], 1).tolist():
        assert len(set(one)) == len(one)


def test_padding_is_never_drawn_however_much_of_it_there_is():
    _, rows = drawn(tasks=2000)
    assert (rows >= 0).all()
    assert (rows % 100 < COUNTS[rows // 100]).all()


def test_a_class_with_just_enough_items_gives_all_of_them():
    _, rows = drawn()
    smallest = rows[rows // 100 == 4].view(-1, 4)
    assert (smallest.sort(1).values == torch.arange(400, 404)).all()


def test_classes_and_items_are_drawn_evenly():
    """χ² of the counts: the limits are those of p = 1e-4."""
    classes, rows = drawn(tasks=6000)
    found = torch.bincount(classes.flatten(), minlength=6).double()
    assert ((found - 3000).square() / 3000).sum() < 25.7  # 5 degrees of freedom
    of_one_class = torch.bincount(rows[rows // 100 == 1] - 100, minlength=9).double()
    assert of_one_class.min() > 0
    expected = of_one_class.mean()
    assert ((of_one_class - expected).square() / expected).sum() < 31.8  # 8 degrees of freedom


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_class_takes_every_place_in_the_episode_equally_often(place):
    classes, _ = drawn(tasks=6000)
    found = torch.bincount(classes[:, place], minlength=6).double()
    assert ((found - 1000).square() / 1000).sum() < 25.7


def test_an_item_is_support_as_often_as_query():
    _, rows = drawn(tasks=6000)
    support = torch.bincount(rows[:, :, :2].flatten() + 7, minlength=600)[7:]
    query = torch.bincount(rows[:, :, 2:].flatten() + 7, minlength=600)[7:]
    seen = (support + query) > 0
    difference = (support - query)[seen].double() / (support + query)[seen].double().sqrt()
    assert difference.abs().max() < 4.5


def test_of_the_variants_of_one_thing_an_episode_has_one_drawn_evenly():
    sampler = Sampler(MEMBERS, COUNTS, SHAPE, variants=2)
    classes, rows = sampler.sample(6000, generator(0, "test"))
    assert torch.equal(rows // 100, classes[:, :, None].expand_as(rows))
    assert all(len(set(things)) == 3 for things in (classes // 2).tolist())
    found = torch.bincount(classes.flatten(), minlength=6).double()
    assert ((found - 3000).square() / 3000).sum() < 26
    together = torch.bincount((classes % 2 * torch.tensor([1, 2, 4])).sum(1), minlength=8).double()
    assert ((together - 750).square() / 750).sum() < 30  # each one's variant by itself


def test_without_variants_what_is_drawn_is_what_has_always_been_drawn():
    classes, _ = Sampler(torch.arange(200).view(20, 10), torch.full((20,), 10), EpisodeShape(5, 1, 3)).sample(
        1, generator(3, "train", 7)
    )
    keys = torch.rand(1, 20, generator=generator(3, "train", 7))
    assert torch.equal(classes, keys.topk(5, dim=1).indices)


def test_the_seed_decides_and_nothing_else():
    torch.manual_seed(1)
    first = drawn(seed=5)
    torch.manual_seed(2)
    again, other = drawn(seed=5), drawn(seed=6)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[1], other[1])


def test_another_process_draws_the_same():
    code = (
        "import torch; from metacli.data.sampler import *; from metacli.runtime import generator;"
        "sampler = Sampler(torch.arange(200).view(20, 10), torch.full((20,), 10), EpisodeShape(5, 1, 3));"
        "print(*[part.flatten().tolist() for part in sampler.sample(4, generator(3, 'train', 7))])"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(metacli.__file__).parents[1]), "PYTHONHASHSEED": "5"}
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    sampler = Sampler(torch.arange(200).view(20, 10), torch.full((20,), 10), EpisodeShape(5, 1, 3))
    here = sampler.sample(4, generator(3, "train", 7))
    assert there.stdout.split("\n")[0] == " ".join(str(part.flatten().tolist()) for part in here)
