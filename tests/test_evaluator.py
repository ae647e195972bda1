import numpy as np
import pytest
import torch

from metacli import evaluator
from metacli.backbones.mlp import MLP
from metacli.data.images import ImageSource
from metacli.data.sampler import EpisodeShape
from metacli.episode import Predictor, TaskSpec
from metacli.evaluator import evaluate
from metacli.learner import Learner
from metacli.paradigms.protonet import ProtoNet
from metacli.runtime import seeded

SHAPE = EpisodeShape(ways=3, shots=2, queries=4)
COUNT = 70


@pytest.fixture
def episodes(table):
    def make(count=COUNT, chunk=8, split="test", shape=SHAPE):
        source = ImageSource(table=table, split=split, device=torch.device("cpu"))
        return source.fixed_episodes(source.sampler(shape), count, chunk)

    return make


@pytest.fixture
def learner():
    with seeded(0, "weights"):
        backbone = MLP(shape=(1, 8, 8), widths=[8], norm="batch")
    return ProtoNet(spec=TaskSpec("classify", (1, 8, 8), 3), backbone=backbone, bn_mode="batch")


class Oracle(Learner):
    """Knows the class of a class by its number in the support set, and errs on the first query."""

    def adapt(self, support):
        return Predictor(self._predict, {"rows": support.rows})

    def _predict(self, state, inputs):
        labels = torch.arange(3).repeat_interleave(4).expand(len(state["rows"]), -1).clone()
        labels[:, 0] = 1
        return 4.0 * torch.nn.functional.one_hot(labels, 3)


def test_every_prediction_is_kept_under_its_class_of_the_data_set(table, episodes):
    evaluation = evaluate(Oracle(TaskSpec("classify", (1, 8, 8), 3)), episodes(), table)
    results = evaluation.results
    assert results.truth.shape == results.predicted.shape == results.rows.shape == (COUNT, 12)
    np.testing.assert_array_equal(results.truth, table.labels[results.rows])
    np.testing.assert_array_equal(results.accuracy, np.full(COUNT, 11 / 12))
    np.testing.assert_array_equal(results.predicted[:, 0], results.truth[:, 4])
    np.testing.assert_array_equal(results.predicted[:, 1:], results.truth[:, 1:])
    right = np.exp(4) / (np.exp(4) + 2)
    np.testing.assert_allclose(results.confidence, right, rtol=1e-6)
    expected = -(11 * np.log(right) + np.log((1 - right) / 2)) / 12
    np.testing.assert_allclose(results.loss, expected, rtol=1e-6)
    assert (results.classes, results.items) == (table.classes, table.items)


def test_results_are_those_of_adapting_to_each_episode(table, episodes, learner):
    results = evaluate(learner, episodes(), table).results
    learner.eval()
    for number, episode in enumerate(episodes(chunk=1)):
        with torch.no_grad():
            logits = learner.adapt(episode.support)(episode.query.inputs)
        predicted = episode.query.classes.gather(1, logits.argmax(2))
        assert predicted[0].tolist() == results.predicted[number].tolist()


def test_the_same_evaluation_has_the_same_hashes(table, episodes, learner):
    one, other = (evaluate(learner, episodes(), table) for _ in range(2))
    assert one.result_hash == other.result_hash
    assert one.episode_hash == other.episode_hash


def test_the_result_hash_knows_the_weights_and_the_episode_hash_does_not(table, episodes, learner):
    before = evaluate(learner, episodes(), table)
    with torch.no_grad():
        next(learner.parameters()).view(-1)[0] += 1e-4
    after = evaluate(learner, episodes(chunk=8), table)
    assert before.result_hash != after.result_hash
    assert before.episode_hash == after.episode_hash


def test_the_episode_hash_knows_episodes_and_data_but_not_the_chunk(table, episodes, learner):
    def hashed(data=table, **options):
        return evaluate(learner, episodes(**options), data).episode_hash

    whole = hashed()
    assert hashed(chunk=5) == whole
    assert hashed(count=COUNT - 1) != whole
    assert hashed(split="val") != whole
    assert hashed(shape=EpisodeShape(ways=3, shots=1, queries=4)) != whole
    table.images[0, 0, 0, 0] ^= 1
    assert hashed() != whole


@pytest.mark.parametrize("training", [True, False])
def test_the_learner_evaluates_in_eval_mode_and_goes_back_to_its_own(training, table, episodes):
    seen = []

    class Watched(Oracle):
        def adapt(self, support):
            seen.append((self.training, torch.is_grad_enabled()))
            return super().adapt(support)

    learner = Watched(TaskSpec("classify", (1, 8, 8), 3)).train(training)
    evaluate(learner, episodes(), table)
    assert set(seen) == {(False, False)}
    assert learner.training == training


def test_progress_counts_episodes(table, episodes, learner):
    done = []
    evaluate(learner, episodes(count=20, chunk=8), table, done.append)
    assert done == [8, 16, 20]


def test_the_picture_shows_the_first_episode(table, episodes, monkeypatch):
    monkeypatch.setattr(evaluator, "PICTURED", 6)
    picture = evaluate(Oracle(TaskSpec("classify", (1, 8, 8), 3)), episodes(), table).results.picture
    first = next(episodes(chunk=1))
    np.testing.assert_array_equal(picture.support, table.images[first.support.rows[0]])
    assert len(picture.query) == len(picture.true_names) == len(picture.predicted_names) == 6
    classes = [table.classes[c] for c in first.query.classes[0]]
    assert list(picture.support_names) == [name for name in classes for _ in range(2)]
    assert set(picture.true_names) == set(classes)
    assert picture.predicted_names[0] != picture.true_names[0]
