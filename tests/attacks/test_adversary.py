"""Attacks on learners: what is attacked, what stays as it was, where random starts come from."""

import runpy
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from metacli.attacks.adversary import Adversary, Trial, loss_of, starts
from metacli.attacks.attack import slope
from metacli.attacks.fgm import FGM
from metacli.attacks.fgsm import FGSM
from metacli.attacks.pgd import PGD
from metacli.attacks.space import space_of
from metacli.backbones.cnn import CNN
from metacli.backbones.conv4 import Conv4
from metacli.backbones.mlp import MLP
from metacli.backbones.pixels import Pixels
from metacli.backbones.resnet12 import ResNet12
from metacli.backbones.rnn import RNN
from metacli.console import Console
from metacli.data.images import ImageSource
from metacli.data.sampler import EpisodeShape
from metacli.episode import TaskSpec
from metacli.layers import recorded
from metacli.paradigms.protonet import ProtoNet
from metacli.parts import part_of
from metacli.rundir import RunFolder
from metacli.runtime import seeded
from metacli.trainer import Plan, Trainer

SPEC = TaskSpec("classify", (1, 8, 8), 3)
PGD_7 = PGD(epsilon=0.05, step=0.25, steps=7, eval_steps=20, restarts=1)


def protonet(bn_mode="running", seed=0):
    with seeded(seed, "weights"):
        backbone = Conv4(shape=SPEC.shape, width=6, depth=2, downsample="max_pool", norm="batch")
        return ProtoNet(spec=SPEC, backbone=backbone, bn_mode=bn_mode)


@pytest.fixture
def source(table):
    return lambda split="train": ImageSource(table=table, split=split, device=torch.device("cpu"))


@pytest.fixture
def episode(source):
    made = source()
    return made.episode(made.sampler(EpisodeShape(ways=3, shots=2, queries=4)), seed=0, step=0, tasks=4)


BACKBONES = {
    "conv4": lambda: Conv4(shape=SPEC.shape, width=4, depth=2, downsample="max_pool", norm="batch"),
    "conv4_stride": lambda: Conv4(shape=SPEC.shape, width=4, depth=2, downsample="stride", norm="batch"),
    "resnet12": lambda: ResNet12(shape=SPEC.shape, widths=[4, 4], norm="batch"),
    "cnn": lambda: CNN(
        shape=SPEC.shape,
        widths=[4],
        kernel=3,
        downsample="max_pool",
        padding="same",
        slope=0.0,
        read="flatten",
        hidden=0,
        norm="group",
    ),
    "rnn": lambda: RNN(shape=SPEC.shape, cell="gru", width=5, depth=1, read="last", norm="batch"),
    "mlp": lambda: MLP(shape=SPEC.shape, widths=[24, 16], norm="batch"),
    "pixels": lambda: Pixels(shape=SPEC.shape),
}


@pytest.mark.parametrize("bn_mode", ["batch", "running", "support", "with_support_single"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_slope_to_the_pixels_is_that_of_small_differences(backbone, bn_mode, episode):
    with seeded(0, "weights"):
        learner = ProtoNet(spec=SPEC, backbone=BACKBONES[backbone](), bn_mode=bn_mode).double().eval()
    one = next(episode.chunks(1))
    support, query = (
        part.__class__({"x": part.inputs["x"].double()}, part.labels, part.mask, part.rows, part.classes)
        for part in (one.support, one.query)
    )
    with torch.no_grad():
        loss = loss_of(learner.adapt(support), query, learner, space_of(learner, query))
        found = slope(loss, query.inputs["x"])
        direction = torch.randn(found.shape, dtype=found.dtype, generator=torch.Generator().manual_seed(0))
        x, step = query.inputs["x"], 1e-6
        difference = (loss(x + step * direction) - loss(x - step * direction)) / (2 * step)
    torch.testing.assert_close((found * direction).sum(), difference.sum(), rtol=1e-4, atol=1e-7)
    assert found.abs().sum() > 0


@pytest.mark.parametrize("train_on", ["none", "query", "support", "both"])
def test_what_is_asked_for_is_attacked_and_the_rest_stays(train_on, episode):
    (found,) = Adversary(PGD_7, train_on, seed=0).versions(protonet(), episode)
    for name in ("support", "query"):
        before, after = getattr(episode, name), getattr(found, name)
        moved = (after.inputs["x"] - before.inputs["x"]).abs().max()
        assert (0 < moved <= 0.05 + 1e-6) if train_on in (name, "both") else moved == 0
        assert torch.equal(after.labels, before.labels)
    assert torch.equal(found.index, episode.index)


def test_an_attack_raises_the_loss_that_is_trained_on(episode):
    learner = protonet("batch")
    clean = learner.meta_loss(episode)
    for train_on in ("query", "support", "both"):
        (found,) = Adversary(PGD_7, train_on, seed=0).versions(learner, episode)
        assert (learner.meta_loss(found) > clean).all(), train_on


def test_versions_of_both_sets_go_together(episode):
    clean, attacked = Adversary(FGM(epsilon=0.5), "both", seed=0).versions(protonet(), episode)
    assert torch.equal(clean.support.inputs["x"], episode.support.inputs["x"])
    assert torch.equal(clean.query.inputs["x"], episode.query.inputs["x"])
    assert not torch.equal(attacked.support.inputs["x"], episode.support.inputs["x"])
    assert not torch.equal(attacked.query.inputs["x"], episode.query.inputs["x"])
    of_queries = Adversary(FGM(epsilon=0.5), "query", seed=0).versions(protonet(), episode)
    assert all(torch.equal(v.support.inputs["x"], episode.support.inputs["x"]) for v in of_queries)


def test_several_versions_count_by_their_mean_loss(episode):
    learner = protonet()
    adversary = Adversary(FGM(epsilon=0.5), "query", seed=0)
    part = part_of(learner, episode, 4, adversary.versions)
    each = [learner.meta_loss(version) for version in adversary.versions(learner, episode)]
    torch.testing.assert_close(part.losses, (each[0] + each[1]).detach() / 2)
    moved = torch.autograd.grad(((each[0] + each[1]) / 2).mean(), list(learner.parameters()))
    torch.testing.assert_close(part.gradients, moved)


def test_an_attack_leaves_the_learner_as_it_was_and_is_not_recorded(episode):
    learner = protonet().train()
    before = deepcopy(learner.state_dict())
    with recorded(learner, differentiable=False) as statistics:
        Adversary(PGD_7, "both", seed=0).versions(learner, episode)
    assert statistics == {}
    assert learner.training
    assert all(module.training for module in learner.modules())
    assert all(parameter.grad is None for parameter in learner.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())


def test_queries_are_attacked_as_they_are_normalised_in_the_report(episode):
    """With running statistics, whatever they are; those of the batch would give another slope."""
    learner = protonet("running").train()
    for module in learner.modules():
        if hasattr(module, "running_mean"):
            module.running_mean.normal_(generator=torch.Generator().manual_seed(0))
    (found,) = Adversary(FGSM(epsilon=0.05), "query", seed=0).versions(learner, episode)
    learner.eval()
    loss = loss_of(learner.adapt(episode.support), episode.query, learner, space_of(learner, episode.query))
    x = episode.query.inputs["x"]
    torch.testing.assert_close(found.query.inputs["x"], (x + 0.05 * slope(loss, x).sign()).clamp(0, 1))


def test_random_starts_depend_on_seed_purpose_number_and_episode_alone(episode):
    whole = starts(episode.query.inputs["x"], episode.index, 3, "query")(0)
    assert -1 <= whole.min() < -0.9 < 0.9 < whole.max() <= 1
    parts = [starts(part.query.inputs["x"], part.index, 3, "query")(0) for part in episode.chunks(1)]
    assert torch.equal(torch.cat(parts), whole)
    others = [
        starts(episode.query.inputs["x"], episode.index, 4, "query")(0),
        starts(episode.query.inputs["x"], episode.index, 3, "support")(0),
        starts(episode.query.inputs["x"], episode.index, 3, "query")(1),
        starts(episode.query.inputs["x"], episode.index + 4, 3, "query")(0),
    ]
    assert not any(torch.equal(other, whole) for other in others)


# What must hold of robust accuracy, on a learner that has learned something.
@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    table = runpy.run_path(str(Path(__file__).parents[1] / "conftest.py"))["make_table"]()
    with seeded(0, "weights"):
        learner = ProtoNet(
            spec=SPEC, backbone=MLP(shape=SPEC.shape, widths=[32, 32], norm="batch"), bn_mode="running"
        )
    made = ImageSource(table=table, split="train", device=torch.device("cpu"))
    sampler = made.sampler(EpisodeShape(ways=3, shots=5, queries=5))
    plan = Plan(
        steps=100, meta_batch=8, chunk=8, val_every=100, log_every=100, patience=0, clip=0.0, lr=0.01,
        schedule="cosine", seed=0, metric="accuracy",
    )  # fmt: skip
    trainer = Trainer(
        learner=learner,
        optimizer=torch.optim.Adam(learner.parameters()),
        episodes=lambda step: made.episode(sampler, seed=0, step=step, tasks=8),
        validate=lambda: [0.5, 0.5],
        plan=plan,
        run=RunFolder(tmp_path_factory.mktemp("run")),
        console=Console(),
    )
    trainer.fit()
    test = ImageSource(table=table, split="test", device=torch.device("cpu"))
    episodes = next(test.fixed_episodes(test.sampler(EpisodeShape(ways=3, shots=5, queries=5)), 60, 64))
    return learner.eval(), episodes


@pytest.fixture
def robust(trained):
    """(attack, epsilons) -> accuracy at each, in percent, of a single attack each."""
    learner, episodes = trained

    @torch.no_grad()
    def measure(attack, *epsilons):
        predictor = learner.adapt(episodes.support)
        found = [
            Trial(attack, (epsilon,), len(episodes)).outcome(learner, predictor, episodes)["withstood"]
            for epsilon in epsilons
        ]
        return [100 * float(right.double().mean()) for right in found]

    return measure


def pgd(eval_steps=20, restarts=1):
    return PGD(epsilon=0.05, step=0.25, steps=7, eval_steps=eval_steps, restarts=restarts)


def test_robust_accuracy_at_zero_is_the_accuracy_bit_for_bit(trained, robust):
    learner, episodes = trained
    right = learner.adapt(episodes.support)(episodes.query.inputs).argmax(2) == episodes.query.labels
    accuracy = 100 * float(right.double().mean())
    assert accuracy > 60  # of 33 by chance
    for attack in (FGSM(epsilon=0.1), pgd(), FGM(epsilon=1.0)):
        (found,) = robust(attack, 0.0)
        assert found == accuracy


def test_robust_accuracy_does_not_grow_with_epsilon_steps_or_restarts(robust):
    grid = (0.0, 0.005, 0.01, 0.02, 0.05)
    for attack in (FGSM(epsilon=0.1), pgd()):
        found = robust(attack, *grid)
        assert all(later <= earlier + 0.5 for earlier, later in pairwise(found))
        assert found[-1] < found[0] - 20
    by_steps = [robust(pgd(steps), 0.01)[0] for steps in (1, 3, 7, 20)]
    assert all(later <= earlier + 0.5 for earlier, later in pairwise(by_steps))
    assert robust(pgd(3, restarts=4), 0.01)[0] <= robust(pgd(3), 0.01)[0]


def test_pgd_is_at_least_as_strong_as_one_step(robust):
    for epsilon in (0.005, 0.01, 0.02):
        assert robust(pgd(), epsilon)[0] <= robust(FGSM(epsilon=0.1), epsilon)[0] + 0.5


def test_with_all_of_the_range_no_answer_is_better_than_a_guess(robust):
    assert robust(pgd(), 1.0)[0] <= 100 / 3 + 2


def test_an_item_is_robust_only_if_it_withstood_all_smaller_attacks(trained):
    learner, episodes = trained
    with torch.no_grad():
        predictor = learner.adapt(episodes.support)
        found = Trial(pgd(), (0.0, 0.005, 0.01, 0.02), 40).outcome(learner, predictor, episodes)["withstood"]
        alone = Trial(pgd(), (0.02,), 40).outcome(learner, predictor, episodes)["withstood"]
    assert found.shape == (40, 15, 4)
    for epsilon in range(3):
        assert (found[..., epsilon] | ~found[..., epsilon + 1]).all()
    assert (alone[..., 0] | ~found[..., 3]).all()
    later = Trial(pgd(), (0.0, 0.01), 0).outcome(learner, predictor, episodes)["withstood"]
    assert later.shape == (0, 15, 2)
