from pathlib import Path

import numpy as np
import pytest

from metacli.commands.joining import join
from metacli.report.compare.measured import Measured

GLYPHS = {"name": "glyphs", "size": 28, "per_class": 20, "seed": 0}
DIGITS = {"name": "digits", "split_sizes": [4.0, 3.0, 3.0], "split_seed": 1}
PHOTOS = {
    "name": "imagefolder",
    "root": "/my photos",
    "csv": None,
    "size": 84,
    "mode": "rgb",
    "split": "seeded",
    "split_sizes": [50, 10, 21],
    "split_seed": 0,
    "min_images": 20,
    "on_error": "raise",
    "augment": {"flip": True},  # of training images
}


@pytest.fixture
def run():
    """A run of a paradigm, asked so many ways, shots and episodes of a data set."""

    def make(paradigm="protonet", dataset=GLYPHS, split="test", task="classify", **shape) -> Measured:
        block = {"ways": 5, "shots": 1, "queries": 15, "count": 600} | shape
        episode = {"train": block, "val": block, "test": block}
        config = {"dataset": dataset, "episode": episode, "paradigm": {"name": paradigm}}
        protocol = {"split": split, "episode": episode}
        return Measured(
            path=Path("runs/a b/evaluations/1"),
            training=Path("runs/a b"),
            report={"task": task, "primary": "accuracy", "protocol": protocol},
            values=np.zeros(600),
            seconds=1.0,
            config=config,
            trained=config,
            data={"fingerprint": str(dataset), "splits": ""},
            origins=(),
        )

    return make


def test_it_names_what_differs_and_nothing_else(run):
    other = run(shots=5, count=100, split="val")
    expected = "metacli eval 'runs/a b' report.split=val episode.val.shots=5 episode.val.count=100"
    assert join(run(), other) == expected


def test_other_ways_need_another_training_where_the_head_is_built_for_them(run):
    assert join(run(), run(ways=20)) == "metacli eval 'runs/a b' episode.test.ways=20"
    expected = "metacli rerun 'runs/a b' episode.test.ways=20 episode.train.ways=20 episode.val.ways=20"
    assert join(run("maml"), run(ways=20)) == expected


def test_other_values_of_the_data_set_are_given(run):
    assert join(run(), run(dataset=GLYPHS | {"seed": 3})) == "metacli eval 'runs/a b' dataset.seed=3"


def test_images_of_another_size_need_another_training(run):
    assert join(run(), run(dataset=GLYPHS | {"size": 20})) == "metacli rerun 'runs/a b' dataset.size=20"


def test_another_data_set_is_chosen_with_the_values_that_are_not_its_own(run):
    assert join(run(dataset=GLYPHS | {"size": 20}), run()) == "metacli rerun 'runs/a b' dataset.size=28"
    assert join(run(dataset=PHOTOS), run()) == "metacli rerun 'runs/a b' dataset=glyphs"
    assert join(run(), run(dataset=PHOTOS)) == (
        "metacli rerun 'runs/a b' dataset=imagefolder 'dataset.root=\"/my photos\"' 'dataset.split_sizes=[50,10,21]'"
        " dataset.min_images=20"
    )
    expected = "metacli rerun 'runs/a b' dataset=digits dataset.split_seed=1 episode.test.ways=3"
    assert join(run(), run(dataset=DIGITS, ways=3)) == expected


def test_there_is_none_for_another_task_or_what_is_not_installed(run):
    assert join(run(), run(task="regress")) == ""
    assert join(run("of another package"), run(shots=5)) == ""
    assert join(run(), run(dataset={"name": "of another package"})) == ""
