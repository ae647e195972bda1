"""Attacks on texts: embeddings of tokens are displaced, by how much of a whole text, and padding never."""

from copy import deepcopy
from itertools import pairwise

import pytest
import torch

from metacli.attacks.adversary import Adversary, Trial, loss_of
from metacli.attacks.attack import lengths, slope
from metacli.attacks.fgm import FGM
from metacli.attacks.fgsm import FGSM
from metacli.attacks.freelb import FreeLB
from metacli.attacks.pgd import PGD
from metacli.attacks.space import Embeddings, space_of
from metacli.backbones.text import text_encoder
from metacli.config.compatibility import check
from metacli.config.compose import composed, values_of
from metacli.config.validate import validate
from metacli.data.table import Description
from metacli.episode import Episode, Examples, TaskSpec
from metacli.errors import UserError
from metacli.layers.tokens import displaced
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.maml import MAML
from metacli.paradigms.protonet import ProtoNet
from metacli.parts import part_of
from metacli.runtime import seeded

SPEC = TaskSpec("classify", (9,), 3)
EPSILON = 0.5
ATTACKS = {
    "fgm": FGM(epsilon=EPSILON),
    "freelb": FreeLB(epsilon=EPSILON, start=0.4, step=0.5, steps=3),
    "fgsm": FGSM(epsilon=0.02),
    "pgd": PGD(epsilon=0.02, step=0.25, steps=3, eval_steps=6, restarts=2),
}
EACH = pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)


@pytest.fixture
def make(encoder_folder):
    def made(method=ProtoNet, bn_mode="running"):
        with seeded(0, "weights"):
            backbone = text_encoder(
                model=str(encoder_folder), weights="none", pooling="mean", max_length=30, lora=0
            )
            for name, tensor in backbone.named_parameters():  # so that answers differ
                tensor.data.mul_(4 if "weight" in name and "LayerNorm" not in name else 1)
            if method is ProtoNet:
                return ProtoNet(spec=SPEC, backbone=backbone, bn_mode=bn_mode).double().eval()
            loop = InnerLoop(
                spec=SPEC,
                backbone=backbone,
                features=backbone.features,
                inner_steps=1,
                inner_eval_steps=1,
                inner_loss_reduction="mean",
                moves_inner=("backbone", "head"),
                moves_outer=("backbone", "head"),
                bn_mode=bn_mode,
                order="second",
            )
            return MAML(inner=loop, inner_lr=0.05).double().eval()

    return made


@pytest.fixture
def episode():
    random = torch.Generator().manual_seed(0)

    def examples(each):
        ids = torch.randint(4, 64, (2, 3 * each, 9), generator=random)
        tokens = torch.randint(2, 8, (2, 3 * each, 1), generator=random)
        x = ids.where(torch.arange(9) < tokens, -1)
        labels = torch.arange(3).repeat_interleave(each).expand(2, -1)
        rows = torch.arange(labels.numel()).view_as(labels)
        return Examples(
            {"x": x}, labels, torch.ones_like(labels, dtype=torch.bool), rows, torch.arange(3).expand(2, -1)
        )

    return Episode(examples(2), examples(3), torch.arange(2))


def moved_by(attacked, clean):
    """[T, N, L, H]"""
    x, ids = attacked.inputs["x"], clean.inputs["x"]
    assert torch.equal(x[..., 0].long(), ids)
    return x[..., 1:]


def far(attack, by):
    """[T, N] in the norm of the attack."""
    return by.abs().amax((2, 3)) if isinstance(attack, FGSM | PGD) else lengths(by)[..., 0, 0]


def test_texts_that_nothing_displaces_have_the_features_of_their_ids_bit_for_bit(make, episode):
    backbone, ids = make().backbone, episode.query.inputs["x"]
    assert torch.equal(backbone(displaced(ids, torch.zeros(*ids.shape, 16).double())), backbone(ids))


def test_the_slope_to_the_embeddings_is_that_of_small_differences(make, episode):
    learner, query = make(), episode.query
    with torch.no_grad():
        space = space_of(learner, query)
        loss = loss_of(learner.adapt(episode.support), query, learner, space)
        found = slope(loss, space.x)
        direction = torch.randn(found.shape, dtype=found.dtype, generator=torch.Generator().manual_seed(0))
        difference = (loss(1e-6 * direction) - loss(-1e-6 * direction)) / 2e-6
    torch.testing.assert_close((found * direction).sum(), difference.sum(), rtol=1e-5, atol=1e-9)
    assert found.abs().sum() > 0


@EACH
@pytest.mark.parametrize("train_on", ["query", "support", "both"])
def test_what_is_trained_on_is_as_far_as_asked_raises_the_loss_and_leaves_padding(
    attack, train_on, make, episode
):
    learner = make()
    before = deepcopy(learner.state_dict())
    last = Adversary(attack, train_on, seed=0).versions(learner, episode)[-1]
    for name in ("support", "query"):
        clean = getattr(episode, name)
        by = moved_by(getattr(last, name), clean)
        assert not by[clean.inputs["x"] < 0].any()
        if train_on not in (name, "both"):
            assert not by.any()
        else:
            assert (far(attack, by) > 0).all()
            assert (far(attack, by) <= attack.epsilon + 1e-9).all()
        if train_on == name:
            predictor = learner.adapt(episode.support)
            after, as_it_was = (learner.query_loss(predictor, part) for part in (getattr(last, name), clean))
            assert (after > as_it_was).all()
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())


def test_fgm_goes_epsilon_far_with_each_text_however_long_it_is(make, episode):
    clean, attacked = Adversary(ATTACKS["fgm"], "query", seed=0).versions(make(), episode)
    assert not moved_by(clean.query, episode.query).any()
    by = moved_by(attacked.query, episode.query)
    torch.testing.assert_close(lengths(by), torch.full_like(lengths(by), EPSILON), rtol=1e-12, atol=0)


def test_the_start_of_freelb_is_by_how_many_numbers_a_text_has():
    ids = torch.tensor([[[2, 5, 3, -1], [2, 3, -1, -1]]])
    space = Embeddings(ids, torch.zeros(1, 2, 4, 16, dtype=torch.float64))
    noise = torch.rand(1, 2, 4, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    attack = FreeLB(epsilon=2.0, start=0.4, step=0.1, steps=2)
    first, second = attack.to_train_on(lambda at: at.sum((1, 2, 3)), space, lambda number: noise)
    expected = 0.8 * noise / torch.tensor([3 * 16, 2 * 16]).double().sqrt().view(1, 2, 1, 1)
    expected[0, 0, 3:] = expected[0, 1, 2:] = 0
    torch.testing.assert_close(first, expected)
    assert not second[0, 0, 3:].any()


def test_embeddings_are_trained_under_attack(make, episode):
    learner = make().train()
    adversary = Adversary(ATTACKS["fgm"], "query", seed=0)
    part = part_of(learner, episode, 2, adversary.versions)
    losses = [learner.meta_loss(version) for version in adversary.versions(learner, episode)]
    torch.testing.assert_close(part.losses, (losses[0] + losses[1]).detach() / 2)
    assert not torch.allclose(losses[0], losses[1])
    named = dict(zip((name for name, _ in learner.named_parameters()), part.gradients, strict=True))
    assert named["backbone.network.network.embeddings.word_embeddings.weight"].abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "method", "bn_mode"),
    [
        ("fgm", ProtoNet, "with_support_single"),
        ("fgm", MAML, "batch"),
        ("freelb", ProtoNet, "running"),
        ("fgsm", ProtoNet, "running"),
        ("pgd", MAML, "running"),
    ],
)
@torch.no_grad()
def test_robust_accuracy_is_the_clean_one_at_zero_and_falls(name, method, bn_mode, make, episode):
    attack = ATTACKS[name]
    learner = make(method, bn_mode)
    predictor = learner.adapt(episode.support)
    right = predictor(episode.query.inputs).argmax(2) == episode.query.labels
    grid = (0.0, attack.epsilon, 100 * attack.epsilon)
    found = Trial(attack, grid, 2).outcome(learner, predictor, episode)
    assert torch.equal(found["withstood"][..., 0], right)
    assert all((a | ~b).all() for a, b in pairwise(found["withstood"].unbind(2)))
    assert (found["least_confidence"][..., 1] < found["least_confidence"][..., 0]).all()
    assert found["withstood"][..., 2].double().mean() < right.double().mean() - 0.2


TEXTS = Description(shape=(), splits={s: {f"{s}{c}": 30 for c in range(6)} for s in ("train", "val", "test")})


def checked(data, *overrides):
    return check(validate(values_of(composed(overrides)[0])), data)


def test_texts_are_attacked_and_words_and_numbers_are_not(encoder_folder):
    model = ["backbone=hf_text", f"backbone.model={encoder_folder}", "dataset=text", "dataset.root=here"]
    assert (
        checked(
            TEXTS, *model, "backbone.weights=none", "paradigm=protonet", "attack=fgm", "attack.train_on=query"
        )
        == []
    )
    numbers, words = (
        Description((1,), TEXTS.splits, kind="regress"),
        Description((), TEXTS.splits, kind="tag"),
    )
    for data, overrides in (
        (numbers, ["dataset=sinusoid", "backbone=mlp40", "paradigm=maml"]),
        (words, [*model, "dataset=wnut17", "paradigm=protobert"]),
    ):
        with pytest.raises(
            UserError, match="attack=fgm: it perturbs images or texts that are to be classified"
        ):
            checked(data, *overrides, "attack=fgm")
