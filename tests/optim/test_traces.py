"""Both optimizers against worked traces, and against the papers' algorithms played an expert at a time."""

import numpy as np
import pytest
import torch

from metacli.optim import experts
from metacli.optim.experts import Full

VARIANTS = ("coordinate", "full", "sketched")
ONE_NUMBER = [[v] for v in (1.0, 1.0, 0.5, -1.0, 8.0, 1.0, -2.0)]
PLANE = [[0.6, 0.8], [0.6, 0.8], [-0.8, 0.6], [0.0, 1.0], [1.0, 0.0]]


@pytest.mark.parametrize("variant", VARIANTS)
def test_metagrad_of_one_number(variant, metagrad, played):
    points = played(metagrad, [[1.0], [1.0], [-1.0], [0.5]], horizon=4, variant=variant)
    expected = [-0.3454715219, -0.6678426271, -0.3620372629, -0.5113469138]
    np.testing.assert_allclose(points.ravel(), expected, atol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("wake", "last"),
    [
        ("center", [0.0, -0.0311890838, 0.0307064674]),
        ("current", [-0.0648585742, -0.0960476580, -0.0341521067]),
    ],
)
def test_adaptive_metagrad_of_one_number(variant, wake, last, adaptive, played):
    """The fifth gradient retires every expert: at the centre, as published, the parameter snaps back."""
    points = played(adaptive, ONE_NUMBER, variant=variant, wake=wake)
    expected = [0.0, -0.1481481481, -0.2410280215, -0.0648585742, *last]
    np.testing.assert_allclose(points.ravel(), expected, atol=1e-9)


def test_both_on_the_unit_disc(metagrad, adaptive, played):
    expected = [
        (-0.2021938987, -0.2695918649),
        (-0.3907974869, -0.5210633159),
        (-0.1209833818, -0.7234238947),
        (-0.1026048337, -0.9219086746),
        (-0.3850121152, -0.8521605108),
    ]
    np.testing.assert_allclose(played(metagrad, PLANE, variant="full"), expected, atol=1e-9)
    expected = [
        (0.0, 0.0),
        (-0.0888888889, -0.1185185185),
        (0.0619528620, -0.2316498316),
        (0.0522465725, -0.3465529135),
        (-0.1055791960, -0.3472714584),
    ]
    np.testing.assert_allclose(played(adaptive, PLANE, variant="full"), expected, atol=1e-9)


def test_an_expert_alone_plays_online_newton_steps():
    rate, prior = 0.1, 2.0
    expert = Full(radius=1e9, prior=prior)
    state = expert.start(1, torch.zeros(1, 1, 2, dtype=torch.float64))
    matrix, point = np.eye(2) / (2 * rate**2 * prior**2), np.zeros(2)
    for gradient in np.random.default_rng(0).normal(size=(50, 2)):
        expert.step(
            state, rate * torch.tensor(gradient).view(1, 1, 2), torch.zeros(1, 1, dtype=torch.float64)
        )
        matrix += np.outer(gradient, gradient)
        point = point - np.linalg.solve(matrix, gradient) / (2 * rate)
        np.testing.assert_allclose(state["W"].view(2), point, atol=1e-12)


def test_an_expert_with_a_narrow_prior_descends_the_gradient():
    prior, lr = 1e-4, 0.01
    expert = Full(radius=1e9, prior=prior)
    state = expert.start(1, torch.zeros(1, 1, 1, dtype=torch.float64))
    scaled = torch.full((1, 1, 1), lr / prior**2 * 1e-6, dtype=torch.float64)
    expert.step(state, scaled, torch.zeros(1, 1, dtype=torch.float64))
    assert state["W"].item() == pytest.approx(-lr * 1e-6, rel=1e-7)


@pytest.mark.parametrize("grid", ["pow2", "anchored"])
@pytest.mark.parametrize("wake", ["center", "current"])
def test_coordinates_are_copies_of_the_game_of_one_number(
    grid, wake, adaptive, played, heavy_tailed, reference
):
    gradients = heavy_tailed(200, 7)
    copies = reference.Coordinates(7, lambda: reference.AdaptiveMetaGrad(1, 0.5, 0.05, grid=grid, wake=wake))
    expected = np.array([copies.step(gradient) for gradient in gradients])
    settings = {"radius": 0.5, "prior": 0.05, "grid": grid, "wake": wake}
    np.testing.assert_allclose(played(adaptive, gradients, **settings), expected, atol=1e-14)
    single = played(adaptive, gradients, dtype=torch.float32, **settings)
    np.testing.assert_allclose(single, expected, atol=1e-7)


def test_coordinates_of_metagrad_are_copies_of_the_game_of_one_number(
    metagrad, played, heavy_tailed, reference
):
    gradients = np.clip(heavy_tailed(200, 7), -3, 3)
    copies = reference.Coordinates(7, lambda: reference.MetaGrad2016(1, 0.5, 3.0, 200))
    expected = np.array([copies.step(gradient) for gradient in gradients])
    settings = {"radius": 0.5, "grad_bound": 3.0, "horizon": 200}
    np.testing.assert_allclose(played(metagrad, gradients, **settings), expected, atol=1e-12)
    beyond = heavy_tailed(200, 7)  # which is cut to the bound
    np.testing.assert_allclose(played(metagrad, beyond, **settings), expected, atol=1e-12)


@pytest.fixture
def stretched():
    """[T, 8] with most of it along a few directions."""
    random = np.random.default_rng(3)
    basis = np.linalg.qr(random.normal(size=(8, 8)))[0]
    return (random.normal(size=(100, 8)) * [3, 1.5, 0.7, 0.3, 0.1, 0.05, 0.02, 0.01]) @ basis.T


@pytest.fixture
def projections(monkeypatch):
    """How often a point was outside its ball."""
    done = []
    usual = experts.shrinking
    monkeypatch.setattr(experts, "shrinking", lambda *given: done.append(given) or usual(*given))
    return done


@pytest.mark.parametrize("radius", [1.0, 0.05])
def test_the_full_game_is_the_papers(radius, metagrad, adaptive, played, stretched, reference, projections):
    slow = reference.AdaptiveMetaGrad(8, radius, 1.0)
    expected = np.array([slow.step(gradient) for gradient in stretched])
    settings = {"variant": "full", "radius": radius}
    np.testing.assert_allclose(played(adaptive, stretched, **settings), expected, atol=1e-12)
    slow = reference.MetaGrad2016(8, radius, 9.0, 100)
    expected = np.array([slow.step(gradient) for gradient in stretched])
    found = played(metagrad, stretched, grad_bound=9.0, horizon=100, **settings)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert bool(projections) == (radius < 1)


@pytest.mark.parametrize("radius", [1.0, 0.05])
def test_a_sketch_of_more_rows_than_numbers_is_the_full_game(radius, adaptive, played, stretched):
    full = played(adaptive, stretched, variant="full", radius=radius)
    found = played(adaptive, stretched, variant="sketched", sketch=9, radius=radius)
    np.testing.assert_allclose(found, full, atol=1e-12)


@pytest.mark.parametrize("rank", [4, 2])
@pytest.mark.parametrize("radius", [1.0, 0.05])
def test_a_narrow_sketch_is_the_papers_and_near_the_full_game(
    rank, radius, adaptive, played, stretched, reference, projections
):
    slow = reference.AdaptiveMetaGrad(
        8, radius, 1.0, expert=lambda eta: reference.SketchedExpert(eta, 8, radius, 1.0, rank)
    )
    expected = np.array([slow.step(gradient) for gradient in stretched])
    found = played(adaptive, stretched, variant="sketched", sketch=rank, radius=radius)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert bool(projections) == (radius < 1)
    off = np.abs(found - played(adaptive, stretched, variant="full", radius=radius)).max()
    assert 0 < off < (0.05 if radius == 1 else radius)
