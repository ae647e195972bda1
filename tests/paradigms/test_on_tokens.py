"""Methods that move the encoder of words, against plain loops in float64 over tasks and words."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal, kl_divergence

from metacli.episode import Episode, Examples, TaskSpec
from metacli.heads.gaussians import contrast, divergence
from metacli.heads.tokens import nearest_answers
from metacli.objectives import ABSENT
from metacli.paradigms.container import Container
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.maml import MAML
from metacli.paradigms.transfer import Transfer

WAYS, PER_CLASS = 2, 1
SPEC = TaskSpec("tag", (6,), outputs=1 + WAYS * PER_CLASS, per_class=PER_CLASS)


class Attention(nn.Module):
    """The smallest encoder in which a word sees the others of its sentence."""

    def __init__(self):
        super().__init__()
        self.codes = nn.Embedding(9, 5)
        self.mix = nn.Linear(5, 15)

    def states(self, ids):
        asks, has, gives = self.mix(self.codes(ids.clamp(min=0))).chunk(3, -1)
        weights = (asks @ has.transpose(1, 2)).masked_fill((ids < 0).unsqueeze(1), -1e9).softmax(-1)
        return weights @ gives + self.codes(ids.clamp(min=0))


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    backbone = nn.Module()
    backbone.network = Attention().double()
    return backbone


def examples(seed, sentences):
    """2 tasks; sentences of up to 6 tokens, the first of which is no word's."""
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 9, (2, sentences, 6), generator=random)
    ids[:, 1:, -1] = -1
    labels = torch.randint(0, SPEC.outputs, (2, sentences, 5), generator=random)
    labels[:, 0, :3] = torch.arange(3)
    labels = labels.where(ids[..., 1:] >= 0, -1)
    places = (torch.arange(6 * sentences).view(sentences, 6)[:, 1:]).expand(2, -1, -1)
    words = labels >= 0
    inputs = {"x": ids, "places": places.where(words, -1), "words": words}
    rows = torch.arange(2 * sentences).view(2, sentences)
    return Examples(inputs, labels, words, rows, torch.tensor([[4, 2], [0, 1]]))


@pytest.fixture
def episode():
    return Episode(examples(0, 4), examples(1, 3), torch.arange(2))


def words_of(backbone, part, task):
    """[m, H] and their tags [m]"""
    states = backbone.network.states(part.inputs["x"][task])[:, 1:]
    return states[part.mask[task]], part.labels[task][part.mask[task]]


def slow_divergence(mean, variance, centre, width):
    """Of one Gaussian from others, [..., d] -> [...]"""

    def kl(mean, variance, centre, width):
        return (variance / width + (centre - mean) ** 2 / width - 1 + (width / variance).log()).sum(-1) / 2

    return (kl(mean, variance, centre, width) + kl(centre, width, mean, variance)) / 2


def slow_contrast(away, labels):
    losses = []
    for anchor in range(len(labels)):
        others = [word for word in range(len(labels)) if word != anchor]
        partners = [word for word in others if labels[word] == labels[anchor]]
        if partners:
            near = sum(away[anchor, word].neg().exp() for word in partners) / len(partners)
            losses.append(-torch.log2(near / sum(away[anchor, word].neg().exp() for word in others)))
    return torch.stack(losses).mean()


def test_the_divergence_is_that_of_torch_distributions():
    random = torch.Generator().manual_seed(0)
    one, other = (torch.rand(2, n, 6, generator=random, dtype=torch.float64) + 0.1 for n in (2, 3))
    (mean, variance), (centre, width) = (part.chunk(2, -1) for part in (one.unsqueeze(2), other.unsqueeze(1)))
    p, q = Normal(mean, variance.sqrt()), Normal(centre, width.sqrt())
    expected = (kl_divergence(p, q) + kl_divergence(q, p)).sum(-1) / 2
    torch.testing.assert_close(divergence(one, other), expected)
    torch.testing.assert_close(expected, slow_divergence(mean, variance, centre, width))


def test_of_equal_variances_the_divergence_is_half_the_squared_distance():
    means = torch.randn(1, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = divergence(*[torch.cat([means, torch.ones_like(means)], -1)] * 2)
    torch.testing.assert_close(found, torch.cdist(means, means).square() / 2)


def test_words_that_are_all_alike_and_of_one_tag_lose_one_bit_for_each_doubling_of_them():
    for words in (3, 5, 9):
        loss = contrast(torch.zeros(1, words, words), torch.ones(1, words), torch.ones(1, words) > 0)
        assert loss.item() == pytest.approx(math.log2(words - 1))


def container(encoder, **changes):
    settings = {
        "embedding": 3,
        "nearest": "states",
        "tau": 0.0,
        "finetune_steps": 3,
        "finetune_lr": 0.01,
        "finetune_weight_decay": 0.1,
        "finetune_distance": "kl",
        "moves_inner": ["backbone", "head"],
        "moves_outer": ["backbone", "head"],
        "bn_mode": "running",
    }
    torch.manual_seed(1)
    learner = Container(spec=SPEC, backbone=encoder, features=5, **(settings | changes)).double()
    with torch.no_grad():
        learner.network.head.variance.bias.add_(0.5)
    return learner


def gaussians(head, states):
    states = states.relu()
    return head.mean(states), F.elu(head.variance(states)) + 1


def slow_loss(head, states, labels, distance="kl"):
    means, variances = gaussians(head, states)
    if distance == "euclidean":
        away = (means[:, None] - means).square().sum(-1) + 0 * variances.sum()
    else:
        away = slow_divergence(means[:, None], variances[:, None], means, variances)
    return slow_contrast(away, labels)


def test_container_is_trained_on_all_words_of_an_episode_that_have_a_partner(encoder, episode):
    learner = container(encoder)
    losses = learner.meta_loss(episode)
    for task in range(2):
        both = [words_of(encoder, part, task) for part in (episode.support, episode.query)]
        states, labels = (torch.cat(part) for part in zip(*both, strict=True))
        torch.testing.assert_close(losses[task], slow_loss(learner.network.head, states, labels))


@pytest.mark.parametrize(("nearest", "distance"), [("states", "kl"), ("gaussians", "euclidean")])
@pytest.mark.parametrize("lr", [0.01, 1.0])  # of which the second makes the loss rise
def test_container_fine_tunes_until_the_loss_rises_and_finds_the_nearest_word(
    lr, nearest, distance, encoder, episode
):
    learner = container(encoder, nearest=nearest, finetune_distance=distance, finetune_lr=lr).eval()
    before = copy.deepcopy(learner.state_dict())
    outputs = learner.adapt(episode.support)(episode.query.inputs)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())
    assert all(parameter.grad is None for parameter in learner.parameters())
    taken = []
    for task in range(2):
        own = copy.deepcopy(learner.network)
        descent = torch.optim.AdamW(own.parameters(), lr=lr, weight_decay=0.1)
        kept, least = None, math.inf
        for step in range(4):
            states, labels = words_of(own.backbone, episode.support, task)
            loss = slow_loss(own.head, states, labels, distance)
            if loss.item() >= least:
                break
            kept, least = copy.deepcopy(own.state_dict()), loss.item()
            taken.append(step)
            descent.zero_grad()
            loss.backward()
            descent.step()
        own.load_state_dict(kept)
        (states, labels), (asked, _) = (
            words_of(own.backbone, p, task) for p in (episode.support, episode.query)
        )
        found = outputs[task][episode.query.mask[task]]
        for word in range(len(asked)):
            if nearest == "states":
                away = (F.normalize(states, dim=1) - F.normalize(asked[word], dim=0)).square().sum(1)
            else:
                away = slow_divergence(*gaussians(own.head, asked[word]), *gaussians(own.head, states))
            expected = [-away[labels == tag].min() for tag in range(SPEC.outputs)]
            torch.testing.assert_close(found[word], torch.stack(expected).detach())
    assert (max(taken) == 3) == (lr == 0.01)


def test_container_without_steps_and_transitions_is_the_nearest_word(encoder, episode):
    learner = container(encoder, finetune_steps=0).eval()
    found = learner.adapt(episode.support)(episode.query.inputs)
    expected = nearest_answers(encoder, episode.support, 3, normalise=True)(episode.query.inputs)
    torch.testing.assert_close(found, expected)
    learner.tau = 1e-9
    learner.transitions.counts.fill_(1)
    there = episode.query.mask
    by_sequence = learner.adapt(episode.support)(episode.query.inputs)
    assert torch.equal(by_sequence.argmax(-1)[there], expected.argmax(-1)[there])


def transfer(encoder, moves, kind="cosine", steps=3):
    settings = {
        "finetune_steps": steps,
        "finetune_lr": 0.05,
        "finetune_weight_decay": 0.1,
        "bn_mode": "running",
    }
    return Transfer(
        spec=SPEC, backbone=encoder, head_kind=kind, head_scale=2.0, moves_inner=moves, **settings
    ).eval()


@pytest.mark.parametrize(
    ("kind", "moves"),
    [("linear", ["head", "backbone"]), ("cosine", ["head", "backbone"]), ("cosine", ["head"])],
)
def test_transfer_fine_tunes_the_encoder_from_the_mean_of_each_tag(kind, moves, encoder, episode):
    support = replace(episode.support, labels=episode.support.labels.where(episode.support.labels != 2, 0))
    outputs = transfer(encoder, moves, kind).adapt(support)(episode.query.inputs)
    for task in range(2):
        own = copy.deepcopy(encoder).requires_grad_()
        states, labels = words_of(own, support, task)
        means = torch.stack([states[labels == tag].mean(0) for tag in range(2)]).detach()
        weight, bias = means.clone(), torch.zeros(2, dtype=torch.float64)
        if kind == "linear":
            weight, bias = 2 * means, -means.square().sum(1)
        moved = [weight.requires_grad_(), bias.requires_grad_()]

        def logits(states, weight=weight, bias=bias):
            if kind == "linear":
                return 2.0 * (states @ weight.T + bias)
            return 2.0 * F.cosine_similarity(states[:, None], weight, dim=-1) + bias

        encoders = own.parameters() if "backbone" in moves else []
        descent = torch.optim.AdamW([*moved, *encoders], lr=0.05, weight_decay=0.1)
        for _ in range(3):
            loss = F.cross_entropy(logits(words_of(own, support, task)[0]), labels)
            descent.zero_grad()
            loss.backward()
            descent.step()
        found = outputs[task][episode.query.mask[task]]
        torch.testing.assert_close(found[:, :2], logits(words_of(own, episode.query, task)[0]).detach())
        assert (found[:, 2] == ABSENT).all()


def test_fine_tuning_leaves_nothing_behind_for_the_next_episode(encoder, episode):
    learner = transfer(encoder, ["head", "backbone"])
    before = copy.deepcopy(learner.state_dict())
    first, second = episode.chunks(1)
    alone = learner.adapt(second.support)(second.query.inputs)
    learner.adapt(first.support)(first.query.inputs)
    assert torch.equal(learner.adapt(second.support)(second.query.inputs), alone)
    assert all(torch.equal(tensor, before[name]) for name, tensor in learner.state_dict().items())


def maml(encoder, moves, order="second", steps=2):
    torch.manual_seed(2)
    inner = InnerLoop(
        spec=SPEC,
        backbone=encoder,
        features=5,
        inner_steps=steps,
        inner_eval_steps=steps,
        inner_loss_reduction="mean",
        moves_inner=moves,
        moves_outer=["backbone", "head"],
        bn_mode="batch",
        order=order,
    )
    return MAML(inner=inner, inner_lr=0.3).double()


def slow_logits(weights, part, task):
    ids = part.inputs["x"][task]
    codes = weights["backbone.network.codes.weight"][ids.clamp(min=0)]
    mixed = codes @ weights["backbone.network.mix.weight"].T + weights["backbone.network.mix.bias"]
    asks, has, gives = mixed.split(5, -1)
    seen = (asks @ has.mT).masked_fill((ids < 0)[:, None], -1e9).softmax(-1) @ gives + codes
    return seen[:, 1:][part.mask[task]] @ weights["head.weight"].T + weights["head.bias"]


@pytest.mark.parametrize("order", ["first", "second"])
@pytest.mark.parametrize("moves", [["head"], ["backbone", "head"]])
def test_maml_descends_on_words_as_a_loop_does_and_its_meta_gradient_is_that_of_the_loop(
    moves, order, encoder, episode
):
    learner = maml(encoder, moves, order)
    named = {name.removeprefix("network."): tensor for name, tensor in learner.named_parameters()}
    losses = []
    for task in range(2):
        weights = named | {name: named[name][[0, 1, 1]] for name in ("head.weight", "head.bias")}
        adapted = [name for name in weights if name.startswith(tuple(moves))]
        for _ in range(2):
            labels = episode.support.labels[task][episode.support.mask[task]]
            loss = F.cross_entropy(slow_logits(weights, episode.support, task), labels)
            gradients = torch.autograd.grad(
                loss, [weights[name] for name in adapted], create_graph=order == "second", retain_graph=True
            )
            moved = {
                name: weights[name] - 0.3 * gradient
                for name, gradient in zip(adapted, gradients, strict=True)
            }
            weights = weights | moved
        labels = episode.query.labels[task][episode.query.mask[task]]
        losses.append(F.cross_entropy(slow_logits(weights, episode.query, task), labels))
    found = learner.meta_loss(episode)
    torch.testing.assert_close(found, torch.stack(losses))
    gradients = [
        torch.autograd.grad(each.sum(), list(named.values())) for each in (found, torch.stack(losses))
    ]
    torch.testing.assert_close(*gradients)


def test_padding_has_no_part_in_the_inner_loss(encoder, episode):
    learner = maml(encoder, ["backbone", "head"]).eval()
    support = episode.support
    inputs = {
        name: F.pad(tensor, (0, 0, 0, 2), value=-1)
        for name, tensor in support.inputs.items()
        if name != "words"
    }
    labels = F.pad(support.labels, (0, 0, 0, 2), value=-1)
    rows = F.pad(support.rows, (0, 2), value=-1)
    padded = Examples(inputs | {"words": labels >= 0}, labels, labels >= 0, rows, support.classes)
    outputs = [learner.adapt(part)(episode.query.inputs) for part in (support, padded)]
    torch.testing.assert_close(*outputs)


def test_the_order_of_types_and_their_number_do_not_matter_to_maml(encoder, episode):
    learner = maml(encoder, ["head"]).eval()
    turned = replace(episode.support, labels=torch.tensor([0, 2, 1, -1])[episode.support.labels])
    one, other = (learner.adapt(support)(episode.query.inputs) for support in (episode.support, turned))
    torch.testing.assert_close(other, one[..., [0, 2, 1]])
    more = replace(episode.support, classes=torch.arange(5).expand(2, -1))
    assert learner.adapt(more)(episode.query.inputs).shape[-1] == 6
