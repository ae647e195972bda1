import numpy as np
import pytest

from metacli.report.classification import ClassificationResults, SupportPicture
from metacli.report.regression import RegressionResults
from metacli.report.results import summarise

HOSTILE = (
    "<script>alert('a & b')</script>",
    "$x_1 \\frac{$ {0} %s",
    "猫の絵",
    "U+0416 CYRILLIC CAPITAL LETTER ZHE, and a name that goes on well beyond what a line can hold",
    "two\nlines\tand \u202e turned",
    "ਕ Gurmukhi, 'quoted', \"twice\"",
)


@pytest.fixture
def make_results():
    """Episodes whose classes, answers and confidences come from a seed."""

    def make(classes: tuple[str, ...], episodes=40, ways=5, queries=4, accuracy=0.7, seed=0):
        random = np.random.default_rng(seed)
        members = np.stack([random.permutation(len(classes))[:ways] for _ in range(episodes)])
        truth = np.repeat(members, queries, axis=1)
        guess = np.take_along_axis(members, random.integers(0, ways, truth.shape), axis=1)
        return ClassificationResults(
            classes=classes,
            truth=truth,
            predicted=np.where(random.random(truth.shape) < accuracy, truth, guess),
            confidence=random.uniform(1 / ways, 1, truth.shape).astype(np.float32),
            loss=random.gamma(2.0, 0.3, episodes),
            rows=random.integers(0, 100, truth.shape),
            items=[f"images/{row:03d}.png" for row in range(100)],
        )

    return make


@pytest.fixture
def results(make_results):
    return make_results(HOSTILE)


@pytest.fixture
def numbers():
    """40 episodes of a straight line each, of which a learner has seen the slope, but not the offset."""
    random = np.random.default_rng(0)
    x = random.uniform(-1, 1, (40, 10, 1)).astype(np.float32)
    slope, offset = random.normal(size=(2, 40, 1, 1)).astype(np.float32)
    return RegressionResults(
        truth=slope * x + offset,
        predicted=slope * x,
        x=x,
        support_x=x[:, :3] / 2,
        support_y=slope * x[:, :3] / 2 + offset,
    )


@pytest.fixture
def summary_of_numbers(numbers, protocol, run):
    block = {"shots": 3, "queries": 10, "count": 40}
    protocol |= {"episode": {"train": block, "val": block, "test": block}, "bn_mode": "none"}
    protocol["selection"] = "best validation squared error"
    return summarise(numbers, protocol, run | {"dataset": "sinusoid"}, "0123456789abcdef0123456789abcdef")


@pytest.fixture
def protocol():
    block = {"ways": 5, "shots": 1, "queries": 4, "count": 40}
    return {
        "bn_mode": "batch",
        "bn_statistics": "task",
        "order": "second",
        "inner_steps": {"train": 1, "test": 5},
        "inner_loss": "sum_over_k",
        "episode": {"train": block, "val": block, "test": block},
        "episode_hash": "9f2c41d0a7b34e5f9f2c41d0a7b34e5f",
        "selection": "best validation accuracy",
        "class_overlap": 0,
        "split": "test",
    }


@pytest.fixture
def run():
    return {
        "paradigm": "maml",
        "family": "agnostic",
        "dataset": "omniglot",
        "backbone": "conv4",
        "seed": 0,
        "device": "cpu",
        "threads": 2,
        "seconds_train": 754.2,
        "weights": "of this run",
        "seconds_total": 803.9,
        "parameters": 111261,
    }


@pytest.fixture
def summary(results, protocol, run):
    return summarise(results, protocol, run, "0123456789abcdef0123456789abcdef")


@pytest.fixture
def history():
    records = [{"step": step, "loss": 2.0 / step} for step in range(1, 201)]
    for step in (100, 200):
        records[step - 1] |= {"val_accuracy": 0.6, "val_ci95": 0.02}
    return records


@pytest.fixture
def picture():
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28, 1), dtype=np.uint8)
    names = HOSTILE[:5]
    return SupportPicture(
        support=images,
        support_names=names,
        query=np.repeat(images, 2, axis=0),
        true_names=[name for name in names for _ in range(2)],
        predicted_names=[answer for name in names for answer in (name, names[0])],
    )
