"""Transfer and P>M>F against the same thing said once a task, in torch's own words and float64."""

import copy

import pytest
import torch
import torch.nn.functional as F

from metacli.episode import TaskSpec
from metacli.paradigms.nearest_centroid import NearestCentroid
from metacli.paradigms.pmf import PMF
from metacli.paradigms.transfer import Transfer

SPEC = TaskSpec("classify", (1, 9, 10), 3)
STEPS, LR = 3, 0.05


def transfer(backbone, moves, kind="cosine", steps=STEPS, scale=10.0):
    return Transfer(
        spec=SPEC,
        backbone=backbone,
        head_kind=kind,
        head_scale=scale,
        finetune_steps=steps,
        finetune_lr=LR,
        finetune_weight_decay=0.01,
        moves_inner=moves,
        bn_mode="running",
    ).eval()


def pmf(backbone, steps=STEPS, moves=("backbone",), crop=0, colour=0.0):
    return PMF(
        spec=SPEC,
        backbone=backbone,
        scale=10.0,
        finetune_steps=steps,
        finetune_lr=LR,
        finetune_weight_decay=0.0,
        augment_flip=False,
        augment_crop=crop,
        augment_colour=colour,
        moves_inner=moves,
        moves_outer=["backbone"],
        bn_mode="running",
    ).double()


def means(z, labels):
    return torch.stack([z[labels == way].mean(0) for way in range(3)])


def cosines(z, c):
    return F.normalize(z, dim=1) @ F.normalize(c, dim=1).T


@pytest.fixture
def backbone(make_backbone):
    return make_backbone("mlp", norm="none")


@pytest.mark.parametrize("moves", [["head"], ["head", "backbone"], ["last_block"]])
@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_transfer_is_adamw_on_each_support_set_from_the_class_means(kind, moves, backbone, make_episode):
    episode = make_episode()
    scale = 10.0 if kind == "cosine" else 0.5
    outputs = transfer(backbone, moves, kind, scale=scale).adapt(episode.support)(episode.query.inputs)
    for task in range(2):
        own, labels = copy.deepcopy(backbone), episode.support.labels[task]
        x, query = (part.inputs["x"][task : task + 1] for part in (episode.support, episode.query))
        centres = means(own(x)[0], labels).detach()
        if kind == "linear":
            weight, bias = 2 * centres, -centres.square().sum(1)
        else:
            weight, bias = centres, torch.zeros(3, dtype=torch.float64)
        moved = {
            "head": [weight, bias],
            "backbone": own.parameters(),
            "last_block": own.blocks[-1].parameters(),
        }
        chosen = [tensor.requires_grad_() for move in moves for tensor in moved[move]]

        def logits(x, own=own, weight=weight, bias=bias):
            z = own(x)[0]
            return scale * (z @ weight.T + bias) if kind == "linear" else scale * cosines(z, weight) + bias

        optimizer = torch.optim.AdamW(chosen, lr=LR, weight_decay=0.01)
        for _ in range(STEPS):
            optimizer.zero_grad()
            F.cross_entropy(logits(x), labels).backward()
            optimizer.step()
        torch.testing.assert_close(outputs[task], logits(query).detach())


@pytest.mark.parametrize(("moves", "steps"), [([], 5), (["head", "backbone"], 0)])
def test_transfer_without_steps_is_the_nearest_class_mean(moves, steps, backbone, make_episode):
    episode = make_episode()
    frozen = NearestCentroid(spec=SPEC, backbone=backbone, distance="euclidean", bn_mode="running").eval()
    one, other = (
        learner.adapt(episode.support)(episode.query.inputs).softmax(-1)
        for learner in (frozen, transfer(backbone, moves, "linear", steps, scale=1.0))
    )
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "make", [lambda b: transfer(b, ["backbone", "head"]), lambda b: pmf(b, crop=2, colour=0.5)]
)
def test_tasks_know_nothing_of_each_other_and_the_learner_stays_as_it_was(make, make_backbone, make_episode):
    learner, episode = make(make_backbone("conv4")).eval(), make_episode(tasks=3)
    before = copy.deepcopy(learner.state_dict())
    whole = learner.adapt(episode.support)(episode.query.inputs)
    alone = [learner.adapt(part.support)(part.query.inputs) for part in episode.chunks(1)]
    torch.testing.assert_close(torch.cat(alone), whole)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())


def test_pmf_fine_tunes_against_the_prototypes_of_the_moving_backbone(backbone, make_episode):
    episode = make_episode()
    learner = pmf(backbone).eval()
    with torch.no_grad():
        learner.shift.fill_(0.3)
    outputs = learner.adapt(episode.support)(episode.query.inputs)
    for task in range(2):
        own, labels = copy.deepcopy(backbone), episode.support.labels[task]
        x, query = (part.inputs["x"][task : task + 1] for part in (episode.support, episode.query))
        optimizer = torch.optim.Adam(own.parameters(), lr=LR)
        for _ in range(STEPS):
            optimizer.zero_grad()
            z = own(x)[0]
            F.cross_entropy(10 * (cosines(z, means(z, labels)) + 0.3), labels).backward()
            optimizer.step()
        expected = 10 * (cosines(own(query)[0], means(own(x)[0], labels)) + 0.3)
        torch.testing.assert_close(outputs[task], expected.detach())


def test_pmf_trains_as_prototypes_and_is_fine_tuned_in_evaluation_alone(backbone, make_episode):
    episode = make_episode()
    losses = [pmf(copy.deepcopy(backbone), steps=steps).train().meta_loss(episode) for steps in (0, STEPS)]
    torch.testing.assert_close(*losses)
    learner = pmf(backbone)
    learner.meta_loss(episode).sum().backward()
    assert all(parameter.grad is not None for parameter in learner.parameters())
    assert list(learner.train().adapt(episode.support).state) == ["prototypes", "scale", "shift"]
