"""iMAML in closed form, beside unrolled steps, and where it does not adapt."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from metacli.backbones.pixels import Pixels
from metacli.episode import Episode, Examples, TaskSpec
from metacli.layers import Linear
from metacli.paradigms.imaml import IMAML, conjugate_gradient
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.maml import MAML
from metacli.runtime import seeded

UNDAMPED = {"solver_damping": 0.0, "solver_shift": 0.0}


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.mark.parametrize(("damping", "shift"), [(0.0, 0.0), (1.0, 10.0)])
def test_on_a_quadratic_solution_and_meta_gradient_are_the_closed_form(damping, shift):
    inner = InnerLoop(
        spec=TaskSpec("regress", (4,), 1),
        backbone=Pixels(shape=(4,)),
        features=4,
        inner_steps=60,
        inner_eval_steps=60,
        inner_loss_reduction="mean",
        moves_inner=["head"],
        moves_outer=["head"],
        bn_mode="batch",
    )
    learner = IMAML(
        inner=inner,
        inner_lr=0.3,
        inner_pull="each",
        proximity=2.0,
        solver_steps=5,
        solver_damping=damping,
        solver_shift=shift,
    ).double()
    head = learner.network.head
    given, asked = (
        Examples(
            {"x": drawn(2, n, 4)},
            drawn(2, n, 1),
            torch.ones(2, n, dtype=torch.bool),
            torch.zeros(2, n),
            torch.zeros(2, 0),
        )
        for n in (6, 7)
    )
    theta = torch.cat([head.weight.detach(), head.bias.detach()[:, None]], 1)[0]
    expected = torch.zeros(5, dtype=torch.float64)
    for task in range(2):
        (x, y), (x_asked, y_asked) = (
            (F.pad(s.inputs["x"][task], (0, 1), value=1.0), s.labels[task, :, 0]) for s in (given, asked)
        )
        hessian, eye = 2 * x.T @ x / 6, torch.eye(5, dtype=torch.float64)
        solution = torch.linalg.solve(hessian + 2 * eye, 2 * x.T @ y / 6 + 2 * theta)
        slope = 2 * x_asked.T @ (x_asked @ solution - y_asked) / 7
        expected += torch.linalg.solve((1 + damping) * eye + hessian / (2 + shift), slope)
        found = learner.adapt(given).state
        torch.testing.assert_close(found["head.weight"][task, 0], solution[:4], rtol=1e-8, atol=1e-8)
    learner.meta_loss(Episode(given, asked, torch.arange(2))).sum().backward()
    torch.testing.assert_close(
        torch.cat([head.weight.grad[0], head.bias.grad]), expected, rtol=1e-7, atol=1e-7
    )


class Smooth(nn.Module):
    """Without kinks, on which a solution may come to lie. x [T, N, ...] -> [T, N, 4]"""

    def __init__(self):
        super().__init__()
        self.features = 4
        self.one, self.other = Linear(6, 5), Linear(5, 4)

    def forward(self, x):
        return self.other(self.one(x.flatten(2)).tanh()).tanh()


@pytest.mark.parametrize("moves", [("head",), ("bias", "head"), ("backbone", "head")], ids=str)
def test_the_meta_gradient_is_that_of_all_steps_to_the_solution(moves, make_adapting, make_episode):
    with seeded(0, "backbone"):
        backbone = Smooth().double()
    learner = make_adapting(
        IMAML, backbone=backbone, inner_steps=60, moves_inner=moves, solver_steps=30, **UNDAMPED
    )
    episode = make_episode(tasks=1, shape=(1, 2, 3))
    support, query = ((s.inputs["x"], s.labels[0]) for s in (episode.support, episode.query))
    start = dict(learner.network.named_parameters())
    weights = dict(start)
    for _ in range(60):
        loss = F.cross_entropy(functional_call(learner.network, weights, support[0])[0], support[1])
        moving = {name: weights[name] for name in learner.inner.adapted}
        gradients = torch.autograd.grad(loss, list(moving.values()), create_graph=True)
        for (name, tensor), gradient in zip(moving.items(), gradients, strict=True):
            weights[name] = (tensor - 0.2 * gradient + 0.4 * start[name]) / 1.4
    loss = F.cross_entropy(functional_call(learner.network, weights, query[0])[0], query[1])
    expected = torch.autograd.grad(loss, list(start.values()))
    found = torch.autograd.grad(learner.meta_loss(episode).mean(), list(start.values()))
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("pull", ["each", "last"])
def test_pulled_without_end_it_is_the_network_unadapted(pull, make_adapting, make_episode):
    learner = make_adapting(IMAML, inner_steps=2, inner_pull=pull, proximity=1e9, **UNDAMPED)
    still = make_adapting(MAML, inner_lr=0.0)
    episode = make_episode()
    found, expected = (
        torch.autograd.grad(one.meta_loss(episode).mean(), list(one.parameters())) for one in (learner, still)
    )
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)


def test_pulled_at_last_it_goes_that_part_of_the_way_back_from_where_maml_comes_to(
    make_adapting, make_episode
):
    learner = make_adapting(IMAML, inner_steps=3, inner_pull="last", proximity=2.5)  # times a rate of 0.2
    support = make_episode().support
    reached = make_adapting(MAML, inner_steps=3, inner_lr=0.2).adapt(support).state
    start, found = dict(learner.network.named_parameters()), learner.adapt(support).state
    expected = {name: start[name] + (tensor - start[name]) / 1.5 for name, tensor in reached.items()}
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_conjugate_gradient_solves_each_task_alone_and_stays_where_nothing_is_left_or_to_be_trusted():
    roots = drawn(3, 4, 4)
    matrices = roots @ roots.mT + torch.eye(4, dtype=torch.float64)
    right = drawn(3, 4) * torch.tensor([[1.0], [1e3], [0.0]], dtype=torch.float64)
    found = conjugate_gradient(lambda vector: (matrices @ vector[..., None])[..., 0], right, 9)
    torch.testing.assert_close(found, torch.linalg.solve(matrices, right), rtol=1e-9, atol=1e-9)
    assert conjugate_gradient(lambda vector: -vector, right, 9).abs().max() == 0
