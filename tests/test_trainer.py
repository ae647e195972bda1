import json
import math
import os
import runpy
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from torch import nn

import metacli
from metacli.backbones.conv4 import Conv4
from metacli.checkpoint import load_state, load_weights
from metacli.console import Console
from metacli.data.images import ImageSource
from metacli.data.prefetch import prefetched
from metacli.data.sampler import EpisodeShape
from metacli.episode import TaskSpec
from metacli.errors import UserError
from metacli.evaluator import evaluate
from metacli.files import digest
from metacli.layers import BatchNorm
from metacli.learner import Learner
from metacli.optim.schedule import set_learning_rate
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.maml import MAML
from metacli.paradigms.protonet import ProtoNet
from metacli.rundir import RunFolder
from metacli.runtime import seeded
from metacli.trainer import Interrupted, Plan, Trainer

PLAN = Plan(
    steps=12,
    meta_batch=4,
    chunk=3,
    val_every=5,
    log_every=2,
    patience=0,
    clip=0.0,
    lr=0.01,
    schedule="cosine",
    seed=0,
    metric="accuracy",
)
SHAPE = EpisodeShape(ways=3, shots=1, queries=2)


def make_learner(name):
    spec = TaskSpec("classify", (1, 8, 8), 3)
    with seeded(0, "weights"):
        backbone = Conv4(shape=spec.shape, width=6, depth=2, downsample="max_pool", norm="batch")
        if name == "protonet":
            return ProtoNet(spec=spec, backbone=backbone, bn_mode="running")
        return MAML(
            inner=InnerLoop(
                spec=spec,
                backbone=backbone,
                features=backbone.features,
                inner_steps=2,
                inner_eval_steps=2,
                inner_loss_reduction="mean",
                order="second",
                moves_inner=["backbone", "head"],
                moves_outer=["backbone", "head"],
                bn_mode="batch",
            ),
            inner_lr=0.1,
        )


def make_trainer(table, folder, *, name="protonet", workers=0, before=lambda step: None, **plan):
    """A real learner on the synthetic table; `before` is called ahead of each step."""
    plan = replace(PLAN, **plan)
    train, val = (
        ImageSource(table=table, split=split, device=torch.device("cpu")) for split in ("train", "val")
    )
    learner, sampler = make_learner(name), train.sampler(SHAPE)

    def episode(step):
        return train.episode(sampler, seed=plan.seed, step=step, tasks=plan.meta_batch)

    take = prefetched(episode, workers, plan.steps)

    def episodes(step):
        before(step)
        return take(step)

    def validate():
        return evaluate(learner, val.fixed_episodes(val.sampler(SHAPE), 20), table).results.accuracy

    return Trainer(
        learner=learner,
        optimizer=torch.optim.Adam(learner.parameters()),
        episodes=episodes,
        validate=validate,
        plan=plan,
        run=RunFolder(folder),
        console=Console(),
    )


def bits(trainer):
    """A digest of the weights, running statistics and optimizer state, and the history as it is."""
    weights = list(trainer.learner.state_dict().values())
    states = trainer.optimizer.state_dict()["state"].values()
    weights += [tensor for state in states for tensor in state.values()]
    return digest(*(tensor.numpy().tobytes() for tensor in weights)), trainer.progress.history


def trained(table, folder, **options):
    trainer = make_trainer(table, folder, **options)
    trainer.fit()
    return trainer


class Slope(Learner):
    """One weight that goes down by the learning rate each step. `losses`: step -> loss that it reports."""

    def __init__(self, losses=lambda step: 0.0):
        super().__init__(TaskSpec("classify", (1, 8, 8), 3))
        self.weight = nn.Parameter(torch.zeros(()))
        self.losses = losses

    def begin_step(self, step, steps, generator):
        self.step = step

    def meta_loss(self, episode):
        return (self.weight - self.weight.detach() + self.losses(self.step)).expand(len(episode))


def slope_trainer(table, folder, accuracies=lambda step: 0.5, losses=lambda step: 0.0, learner=None, **plan):
    """A trainer of a Slope; `accuracies`: step -> validation accuracy."""
    trainer = make_trainer(table, folder, schedule="constant", **plan)
    trainer.learner = learner or Slope(losses)
    trainer.optimizer = torch.optim.SGD(trainer.learner.parameters())
    trainer.validate = lambda: [accuracies(trainer.progress.step)]
    return trainer


@pytest.mark.parametrize("name", ["maml", "protonet"])
@pytest.mark.parametrize("way", ["again", "with two workers"])
def test_the_same_training_gives_the_same_bits(way, name, table, tmp_path):
    once = trained(table, tmp_path / "once", name=name)
    twice = trained(table, tmp_path / "twice", name=name, workers=2 if way == "with two workers" else 0)
    assert bits(once) == bits(twice)


def test_another_process_gives_the_same_bits(table, tmp_path):
    here = [bits(trained(table, tmp_path / name, name=name)) for name in ("maml", "protonet")]
    environment = os.environ | {
        "PYTHONPATH": str(Path(metacli.__file__).parents[1]),
        "PYTHONHASHSEED": "7",
    }
    there = subprocess.run(
        [sys.executable, __file__, tmp_path / "there"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert json.loads(there.stdout.splitlines()[-1]) == json.loads(json.dumps(here))


def test_another_seed_gives_other_bits(table, tmp_path):
    assert bits(trained(table, tmp_path / "0"))[0] != bits(trained(table, tmp_path / "1", seed=1))[0]


@pytest.mark.parametrize("step", [0, 2, 4, 6, 9, 11])
def test_interrupted_and_resumed_training_is_bit_equal_to_training_without_a_break(step, table, tmp_path):
    whole = trained(table, tmp_path / "whole")

    def interrupt(at):
        if at == step:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted) as stopped:
        make_trainer(table, tmp_path / "parts", before=interrupt).fit()
    assert stopped.value.code == 128 + signal.SIGTERM
    resumed = make_trainer(table, tmp_path / "parts")
    resumed.resume()
    assert resumed.progress.step == step + 1
    resumed.fit()
    assert bits(resumed) == bits(whole)
    assert resumed.run.metrics.read_text() == whole.run.metrics.read_text()
    assert resumed.run.best.read_bytes() == whole.run.best.read_bytes()


@pytest.mark.parametrize("step", [3, 8])
def test_training_that_died_goes_on_from_the_last_checkpoint(step, table, tmp_path):
    whole = trained(table, tmp_path / "whole", name="maml")

    def die(at):
        if at == step:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_trainer(table, tmp_path / "parts", name="maml", before=die).fit()
    resumed = make_trainer(table, tmp_path / "parts", name="maml")
    resumed.resume()
    assert resumed.progress.step == step // 5 * 5
    resumed.fit()
    assert bits(resumed) == bits(whole)
    assert resumed.run.metrics.read_text() == whole.run.metrics.read_text()


def test_signal_handlers_are_put_back(table, tmp_path):
    before = signal.getsignal(signal.SIGINT)
    slope_trainer(table, tmp_path).fit()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_names_the_step_and_keeps_the_last_checkpoint(value, table, tmp_path):
    trainer = slope_trainer(table, tmp_path, losses=lambda step: value if step == 8 else 1.0)
    with pytest.raises(UserError, match=f"the loss became {value} at step 9") as error:
        trainer.fit()
    assert str(trainer.run.last) in str(error.value)
    assert "optimizer.lr" in error.value.hint
    assert load_state(trainer.run.last)["progress"]["step"] == 5
    resumed = slope_trainer(table, tmp_path)
    resumed.resume()
    assert resumed.fit().step == 12


class Cliff(Slope):
    """A loss that stays finite while its gradient does not."""

    def meta_loss(self, episode):
        return self.weight.sqrt().expand(len(episode))


def test_a_weight_that_is_not_finite_is_not_saved(table, tmp_path):
    trainer = slope_trainer(table, tmp_path, learner=Cliff(), val_every=1)
    with pytest.raises(UserError, match="a weight is no longer finite at step 1"):
        trainer.fit()
    assert load_state(trainer.run.last)["progress"]["step"] == 0
    assert not trainer.run.best.exists()


def test_the_best_weights_are_those_of_the_best_validation(table, tmp_path):
    accuracies = {2: 0.5, 4: 0.8, 6: 0.8, 8: 0.7, 10: 0.2, 12: 0.6}
    trainer = slope_trainer(table, tmp_path, accuracies.get, val_every=2, lr=1.0)
    progress = trainer.fit()
    assert (progress.best_step, progress.best) == (4, 0.8)
    assert load_weights(trainer.run.best)["weight"].item() == -4
    assert load_state(trainer.run.last)["learner"]["weight"].item() == -12


def test_of_errors_the_lowest_is_the_best(table, tmp_path):
    errors = {2: 0.5, 4: 0.2, 6: 0.2, 8: 0.9, 10: 0.3, 12: 0.6}
    trainer = slope_trainer(table, tmp_path, errors.get, val_every=2, lr=1.0, metric="mse")
    progress = trainer.fit()
    assert (progress.best_step, progress.best) == (4, 0.2)
    assert progress.history[-1]["val_mse"] == 0.6


def test_each_step_is_taken_at_the_rate_of_its_place_in_the_schedule(table, tmp_path):
    trainer = make_trainer(table, tmp_path, before=lambda step: taken.append(rate()), val_every=12)
    taken = []

    def rate():
        return trainer.optimizer.param_groups[0]["lr"]

    trainer.fit()
    taken.append(rate())
    cosine = [0.5 * 0.01 * (1 + math.cos(math.pi * step / 12)) for step in range(12)]
    assert taken[1:] == pytest.approx(cosine)


@pytest.mark.parametrize(
    ("patience", "stops"),
    [(1, 6), (2, 8), (0, 12)],
)
def test_training_stops_after_so_many_validations_without_a_better_one(patience, stops, table, tmp_path):
    accuracies = {2: 0.5, 4: 0.8}
    trainer = slope_trainer(
        table, tmp_path, lambda step: accuracies.get(step, 0.1), val_every=2, patience=patience
    )
    assert trainer.fit().step == stops
    assert load_state(trainer.run.last)["progress"]["step"] == stops


def test_the_history_holds_mean_losses_and_validations(table, tmp_path):
    trainer = slope_trainer(table, tmp_path, losses=float, accuracies=lambda step: step / 100)
    history = trainer.fit().history
    assert [row["step"] for row in history] == [2, 4, 5, 6, 8, 10, 12]
    assert [row["loss"] for row in history] == [0.5, 2.5, 4.0, 5.0, 6.5, 8.5, 10.5]
    validated = {row["step"]: row["val_accuracy"] for row in history if "val_accuracy" in row}
    assert validated == {5: 0.05, 10: 0.1, 12: 0.12}
    assert [json.loads(line) for line in trainer.run.metrics.read_text().splitlines()] == history


def test_the_gradient_is_limited_to_the_norm_asked_for(table, tmp_path):
    for clip, moved in ((0.0, 1.0), (0.25, 0.25), (3.0, 1.0)):
        trainer = slope_trainer(table, tmp_path / str(clip), clip=clip, lr=1.0, steps=1)
        trainer.fit()
        assert trainer.learner.weight.item() == pytest.approx(-moved, rel=1e-5)


def test_the_learning_rate_follows_the_schedule():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=9.0)

    def rates(schedule):
        found = []
        for step in range(5):
            set_learning_rate(optimizer, 0.4, schedule, step, 4)
            found.append(optimizer.param_groups[0]["lr"])
        return found

    assert rates("constant") == [0.4] * 5
    root = math.sqrt(0.5)
    assert rates("cosine") == pytest.approx([0.4, 0.2 * (1 + root), 0.2, 0.2 * (1 - root), 0.0])


def test_running_statistics_move_once_a_step_towards_the_mean_over_its_tasks(table, tmp_path):
    trainer = make_trainer(table, tmp_path, steps=1)
    first = trainer.learner.backbone.blocks[0]
    episode = trainer.episodes(0)
    images = torch.cat([episode.support.inputs["x"], episode.query.inputs["x"]], 1)
    with torch.no_grad():
        maps = torch.stack([first.conv(task[None].permute(0, 1, 3, 4, 2))[0] for task in images])
    variance, mean = torch.var_mean(maps, (1, 2, 3), correction=0)
    trainer.fit()
    torch.testing.assert_close(first.norm.running_mean, 0.1 * mean.mean(0))
    torch.testing.assert_close(first.norm.running_var, 0.9 + 0.1 * variance.mean(0))


class Whitening(Learner):
    """Batch norm alone: no matrix product, whose rounding may depend on how many there are."""

    def __init__(self):
        super().__init__(TaskSpec("classify", (1, 8, 8), 3))
        self.norm = BatchNorm(64, relu=True)
        self.norm.tracks = True

    def meta_loss(self, episode):
        return self.norm(episode.query.inputs["x"].flatten(2)).mean((1, 2))


def test_running_statistics_do_not_depend_on_the_chunk_by_a_bit(table, tmp_path):
    found = []
    for chunk in (1, 3, 8):
        learner = Whitening()
        slope_trainer(table, tmp_path / str(chunk), learner=learner, steps=1, meta_batch=8, chunk=chunk).fit()
        found.append((learner.norm.running_mean, learner.norm.running_var))
    for mean, variance in found[1:]:
        assert torch.equal(mean, found[0][0])
        assert torch.equal(variance, found[0][1])


def test_neither_weights_nor_running_statistics_depend_on_the_chunk(table, tmp_path):
    """But for the rounding of products whose order the library chooses."""
    found = []
    for chunk in (1, 3, 4):
        trainer = make_trainer(table, tmp_path / str(chunk), steps=3, meta_batch=8, chunk=chunk)
        trainer.learner.double()
        whole = trainer.episodes
        trainer.episodes = lambda step, whole=whole: doubled(whole(step))
        trainer.validate = lambda: [0.5]
        trainer.fit()
        found.append(trainer.learner.state_dict())
    for other in found[1:]:
        for name, tensor in found[0].items():
            torch.testing.assert_close(other[name], tensor, rtol=1e-9, atol=1e-9)


def doubled(episode):
    support, query = (
        replace(examples, inputs={"x": examples.inputs["x"].double()})
        for examples in (episode.support, episode.query)
    )
    return replace(episode, support=support, query=query)


def test_running_statistics_stay_where_nothing_reads_them(table, tmp_path):
    trainer = trained(table, tmp_path, name="maml", steps=2)
    for name, tensor in trainer.learner.state_dict().items():
        if "running" in name:
            assert torch.equal(tensor, torch.full_like(tensor, float(name.endswith("var"))))


def test_each_step_tells_the_learner_where_it_is_with_randomness_of_its_own(table, tmp_path):
    told = []

    class Curious(Slope):
        def begin_step(self, step, steps, generator):
            super().begin_step(step, steps, generator)
            told.append((step, steps, torch.rand((), generator=generator).item()))

    slope_trainer(table, tmp_path / "1", learner=Curious(), steps=3).fit()
    slope_trainer(table, tmp_path / "2", learner=Curious(), steps=3).fit()
    assert [(step, steps) for step, steps, _ in told[:3]] == [(0, 3), (1, 3), (2, 3)]
    assert told[:3] == told[3:]
    assert len({number for *_, number in told[:3]}) == 3


def test_everything_that_changes_is_in_the_checkpoint(table, tmp_path):
    trainer = trained(table, tmp_path)
    saved = load_state(trainer.run.last)["progress"]
    assert saved == asdict(trainer.progress)


if __name__ == "__main__":  # what another process says of the same training
    make_table = runpy.run_path(str(Path(__file__).with_name("conftest.py")))["make_table"]
    results = [
        bits(trained(make_table(), Path(sys.argv[1]) / name, name=name)) for name in ("maml", "protonet")
    ]
    print(json.dumps(results))
