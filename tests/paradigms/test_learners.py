"""What holds of every learner."""

import pytest
import torch

from metacli.backbones.conv4 import Conv4
from metacli.backbones.mlp import MLP
from metacli.console import Console
from metacli.data.images import ImageSource
from metacli.data.sampler import EpisodeShape
from metacli.episode import Examples, TaskSpec
from metacli.evaluator import evaluate
from metacli.paradigms.alfa import ALFA
from metacli.paradigms.gnn import GNN
from metacli.paradigms.imaml import IMAML
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.maml import MAML
from metacli.paradigms.maml_pp import MAMLPlusPlus
from metacli.paradigms.matchingnet import MatchingNet
from metacli.paradigms.meta_sgd import MetaSGD
from metacli.paradigms.nearest_centroid import NearestCentroid
from metacli.paradigms.protonet import ProtoNet
from metacli.paradigms.r2d2 import R2D2
from metacli.paradigms.relationnet import RelationNet
from metacli.paradigms.reptile import Reptile
from metacli.paradigms.tpn import TPN
from metacli.rundir import RunFolder
from metacli.runtime import seeded
from metacli.trainer import Plan, Trainer

# Beside MAML.
GRADIENT = {
    "meta_sgd": MetaSGD,
    "maml_pp": MAMLPlusPlus,
    "alfa": ALFA,
    "imaml": IMAML,
    "reptile": Reptile,
}
TRAINED = ["maml", "fomaml", "anil", *GRADIENT, "protonet", "r2d2", "gnn", "matchingnet", "full_context"]
TRAINED += ["relationnet", "tpn"]
SLOW = [*GRADIENT, "gnn", "relationnet", "tpn"]  # the contract shows that they learn
TOGETHER = ["tpn"]  # answers the queries of a task together in every mode
ALL = [*TRAINED, "nearest_centroid"]
IN_ORDER = ["full_context"]  # a sequence, to a network that reads it from both ends
# Whose outputs belong to the classes of the support set alone.
ANY_WAYS = [
    "protonet",
    "r2d2",
    "matchingnet",
    "full_context",
    "relationnet",
    "tpn",
    "nearest_centroid",
]
MODES = ["batch", "support", "running", "with_support_single"]
FEWER_MODES = {
    "gnn": ["batch", "running"],
    "relationnet": ["batch", "running"],
    "maml_pp": ["batch", "support", "with_support_single"],
}


def with_modes(names):
    cases = [(name, mode) for name in names for mode in FEWER_MODES.get(name, MODES)]
    return pytest.mark.parametrize(("name", "bn_mode"), cases)


@pytest.fixture
def make_learner(make_maml, make_adapting, make_backbone):
    def make(name, *, bn_mode="batch", **backbone):
        spec = TaskSpec("classify", (1, 9, 10), 3)
        if name in GRADIENT:
            return make_adapting(GRADIENT[name], bn_mode=bn_mode, inner_steps=2, backbone=backbone)
        match name:
            case "maml":
                return make_maml(bn_mode=bn_mode, steps=2, **backbone)
            case "fomaml":
                return make_maml(bn_mode=bn_mode, steps=2, order="first", **backbone)
            case "anil":
                return make_maml(bn_mode=bn_mode, steps=2, inner=("head",), **backbone)
            case "protonet":
                return ProtoNet(spec=spec, backbone=make_backbone(**backbone), bn_mode=bn_mode)
            case "r2d2":
                backbone = make_backbone(**backbone)
                learner = R2D2(spec=spec, backbone=backbone, ridge=0.7, scale=2.0, bn_mode=bn_mode)
                return learner.double()
            case "matchingnet" | "full_context":
                network = make_backbone(**backbone)
                with seeded(0, "weights"):
                    return MatchingNet(
                        spec=spec,
                        backbone=network,
                        features=network.features,
                        full_context=name == "full_context",
                        scale=5.0,
                        bn_mode=bn_mode,
                    ).double()
            case "gnn":
                network = make_backbone(**backbone)
                with seeded(0, "weights"):
                    return GNN(
                        spec=spec,
                        backbone=network,
                        features=network.features,
                        embedding=5,
                        width=4,
                        dropout=0.3,
                        query_label="zeros",
                        bn_mode=bn_mode,
                    ).double()
            case "relationnet":
                network = make_backbone(**{"downsample": "max_pool", "depth": 2} | backbone)
                with seeded(0, "weights"):
                    return RelationNet(
                        spec=spec,
                        backbone=network,
                        map_shape=network.map_shape,
                        width=4,
                        hidden=3,
                        bn_mode=bn_mode,
                    ).double()
            case "tpn":
                network = make_backbone(**backbone)
                learner = TPN(
                    spec=spec,
                    backbone=network,
                    features=network.features,
                    neighbours=4,
                    alpha=0.9,
                    bn_mode=bn_mode,
                )
                return learner.double()
            case "nearest_centroid":
                network = make_backbone(**backbone)
                return NearestCentroid(spec=spec, backbone=network, distance="euclidean", bn_mode=bn_mode)

    return make


@pytest.mark.parametrize("training", [True, False])
@with_modes(ALL)
def test_adapting_leaves_the_learner_as_it_was(name, bn_mode, training, make_learner, make_episode):
    learner, episode = make_learner(name, bn_mode=bn_mode).train(training), make_episode()
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    moving = [parameter.requires_grad for parameter in learner.parameters()]
    predictor = learner.adapt(episode.support)
    predictor(episode.query.inputs)
    after = learner.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert [parameter.requires_grad for parameter in learner.parameters()] == moving
    assert all(parameter.grad is None for parameter in learner.parameters())
    assert learner.training == training


@pytest.mark.parametrize("training", [True, False])
@with_modes(ALL)
def test_predictions_depend_on_the_other_queries_in_transductive_modes_only(
    name, bn_mode, training, make_learner, make_episode
):
    learner, episode = make_learner(name, bn_mode=bn_mode).train(training), make_episode()
    x = episode.query.inputs["x"]
    others = torch.cat([x[:, :1], x[:, 1:].flip(3) * 0.5], 1)
    predictor = learner.adapt(episode.support)
    same = torch.allclose(predictor({"x": x})[:, 0], predictor({"x": others})[:, 0], rtol=1e-12, atol=1e-12)
    inductive = bn_mode == "support" or (bn_mode != "batch" and not training)
    assert same == (inductive and name not in TOGETHER)


@with_modes(ALL)
def test_every_task_is_adapted_to_alone(name, bn_mode, make_learner, make_episode):
    learner, episode = make_learner(name, bn_mode=bn_mode).eval(), make_episode(tasks=3)
    together = learner.adapt(episode.support)
    outputs = together(episode.query.inputs)
    assert outputs.shape == (3, 9, 3)
    for t, task in enumerate(episode.chunks(1)):
        alone = learner.adapt(task.support)
        torch.testing.assert_close(alone(task.query.inputs), outputs[t : t + 1])
        assert all(len(tensor) == 1 for tensor in alone.state.values())
    assert all(len(tensor) == 3 for tensor in together.state.values())


@pytest.mark.parametrize(
    "name", [name for name in ALL if name not in (*IN_ORDER, "reptile")]
)  # its minibatches
def test_the_order_of_the_support_set_does_not_matter(name, make_learner, make_episode):
    learner, episode = make_learner(name), make_episode()
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0))
    support = episode.support
    shuffled = changed(support, inputs={"x": support.inputs["x"][:, order]}, labels=support.labels[:, order])
    one, other = (learner.adapt(s)(episode.query.inputs) for s in (support, shuffled))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("name", ANY_WAYS)
def test_renamed_classes_change_places(name, make_learner, make_episode):
    learner, episode = make_learner(name), make_episode()
    renamed = changed(episode.support, labels=(episode.support.labels + 1) % 3)
    one, other = (learner.adapt(s)(episode.query.inputs) for s in (episode.support, renamed))
    torch.testing.assert_close(one.roll(1, 2), other)


@pytest.mark.parametrize("name", ANY_WAYS)
def test_the_ways_at_evaluation_may_differ_from_those_of_training(name, make_learner, make_episode):
    learner, episode = make_learner(name).eval(), make_episode()
    two = episode.support.labels[0] < 2
    x, labels, mask = episode.support.inputs["x"], episode.support.labels, episode.support.mask
    support = changed(
        episode.support,
        inputs={"x": x[:, two]},
        labels=labels[:, two],
        mask=mask[:, two],
        classes=episode.support.classes[:, :2],
    )
    assert learner.adapt(support)(episode.query.inputs).shape == (2, 9, 2)


@with_modes([name for name in TRAINED if name != "gnn"])  # which declares that it does
def test_the_gradient_does_not_depend_on_the_chunk(name, bn_mode, make_learner, make_episode):
    learner, episode = make_learner(name, bn_mode=bn_mode), make_episode(tasks=4)
    found = []
    for chunk in (1, 3, 4):
        learner.zero_grad()
        for part in episode.chunks(chunk):
            (learner.meta_loss(part).sum() / len(episode)).backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in learner.parameters()]))
    for gradient in found[1:]:
        assert (gradient - found[0]).norm() <= 1e-12 * found[0].norm()


@pytest.mark.parametrize("name", ALL)
def test_a_detached_predictor_predicts_the_same(name, make_learner, make_episode):
    learner, episode = make_learner(name, bn_mode="support"), make_episode()
    predictor = learner.adapt(episode.support)
    detached = predictor.detach()
    assert torch.equal(predictor(episode.query.inputs), detached(episode.query.inputs))
    assert not any(tensor.requires_grad for tensor in detached.state.values())


@pytest.mark.parametrize("name", [name for name in ALL if name not in IN_ORDER])
def test_support_items_that_do_not_count_have_no_influence(name, make_learner, make_episode):
    learner, episode = make_learner(name, bn_mode="running").eval(), make_episode()
    support = episode.support
    noisy = {"x": support.inputs["x"].clone()}
    noisy["x"][:, 0] = 7.0
    kept = torch.arange(6).expand(2, -1) > 0
    outputs = [
        learner.adapt(Examples(inputs, support.labels, kept, support.rows, support.classes))(
            episode.query.inputs
        )
        for inputs in (support.inputs, noisy)
    ]
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize("name", ALL)
def test_a_device_gives_the_results_of_the_cpu(name, make_learner, make_episode, device):
    episode = make_episode()
    expected = make_learner(name).meta_loss(episode)
    learner, there = make_learner(name).to(device), episode.to(device)
    losses = learner.meta_loss(there)
    assert losses.device.type == device.type
    torch.testing.assert_close(losses.cpu(), expected, rtol=1e-9, atol=1e-9)
    if name in TRAINED:
        losses.mean().backward()
        assert all(torch.isfinite(parameter.grad).all() for parameter in learner.parameters())


def changed(examples, **parts):
    whole = {name: getattr(examples, name) for name in ("inputs", "labels", "mask", "rows", "classes")}
    return Examples(**whole | parts)


def toy_learner(name, spec):
    if name in ANY_WAYS:
        backbone = Conv4(shape=spec.shape, width=16, depth=2, downsample="max_pool", norm="batch")
        common = {"spec": spec, "backbone": backbone, "bn_mode": "running"}
        match name:
            case "matchingnet" | "full_context":
                full = name == "full_context"
                return MatchingNet(**common, features=backbone.features, full_context=full, scale=10.0)
            case "protonet":
                return ProtoNet(**common)
            case "r2d2":
                return R2D2(**common, ridge=1.0, scale=10.0)
    backbone = MLP(shape=spec.shape, widths=[32], norm="batch")
    return MAML(
        inner=InnerLoop(
            spec=spec,
            backbone=backbone,
            features=backbone.features,
            inner_steps=1,
            inner_eval_steps=1,
            inner_loss_reduction="mean",
            order="first" if name == "fomaml" else "second",
            moves_inner=["head"] if name == "anil" else ["backbone", "head"],
            moves_outer=["backbone", "head"],
            bn_mode="batch",
        ),
        inner_lr=0.5,
    )


@pytest.mark.parametrize("name", [name for name in TRAINED if name not in SLOW])
def test_it_learns_what_helps_with_classes_it_has_never_seen(name, table, tmp_path, device):
    shape = EpisodeShape(ways=3, shots=1, queries=5)
    train, test = (ImageSource(table=table, split=split, device=device) for split in ("train", "test"))
    with seeded(0, "weights"):
        learner = toy_learner(name, TaskSpec("classify", (1, 8, 8), 3)).to(device)

    def accuracy():
        episodes = test.fixed_episodes(test.sampler(shape), 100)
        return evaluate(learner, episodes, table).results.accuracy

    before = accuracy().mean()
    steps = 200
    plan = Plan(
        steps=steps,
        meta_batch=8,
        chunk=8,
        metric="accuracy",
        val_every=steps,
        log_every=20,
        patience=0,
        clip=0.0,
        lr=0.01,
        schedule="constant",
        seed=0,
    )
    sampler = train.sampler(shape)
    trainer = Trainer(
        learner=learner,
        optimizer=torch.optim.Adam(learner.parameters()),
        episodes=lambda step: train.episode(sampler, seed=0, step=step, tasks=8),
        validate=accuracy,
        plan=plan,
        run=RunFolder(tmp_path),
        console=Console(),
    )
    history = trainer.fit().history
    assert history[-1]["loss"] < 0.5 * history[0]["loss"]
    assert history[-1]["val_accuracy"] > max(before + 0.2, 0.7)
