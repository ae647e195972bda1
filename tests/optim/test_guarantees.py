"""What the papers prove, on convex losses: invariances, and regret within its bound."""

import math

import numpy as np
import pytest


@pytest.fixture
def gradients():
    random = np.random.default_rng(1)
    return random.normal(size=(120, 3)) * np.exp(random.normal(size=(120, 1)))


def test_a_power_of_two_on_the_losses_changes_nothing(gradients, adaptive, played):
    plain = played(adaptive, gradients, variant="full")
    for factor in (2.0**-20, 2.0**13):
        assert np.array_equal(played(adaptive, factor * gradients, variant="full"), plain)
    assert np.abs(played(adaptive, 3 * gradients, variant="full") - plain).max() > 0.01


@pytest.mark.parametrize("variant", ["full", "coordinate"])
def test_no_factor_on_the_losses_changes_anything_on_an_anchored_grid(variant, gradients, adaptive, played):
    plain = played(adaptive, gradients, variant=variant, grid="anchored")
    for factor in (3.0, 1e-5):
        found = played(adaptive, factor * gradients, variant=variant, grid="anchored")
        np.testing.assert_allclose(found, plain, atol=1e-11)


def test_turned_gradients_turn_the_full_game(gradients, adaptive, played):
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    plain = played(adaptive, gradients, variant="full")
    np.testing.assert_allclose(
        played(adaptive, gradients @ turn.T, variant="full"), plain @ turn.T, atol=1e-11
    )


@pytest.mark.parametrize("variant", ["full", "coordinate"])
def test_gradients_of_zero_change_nothing(variant, gradients, adaptive, played):
    more = np.insert(gradients, [0, 5, 50, 51, 110], 0.0, axis=0)
    plain = played(adaptive, gradients, variant=variant)
    assert np.array_equal(played(adaptive, more, variant=variant)[-1], plain[-1])


LOSSES = ("absolute", "hinge", "square", "adversarial")


def gradient_of(kind, random, size):
    """The gradient of a random loss of the kind, as a function of the point."""
    x = random.normal(size=size)
    x /= max(1.0, np.linalg.norm(x))
    truth = x @ np.full(size, 0.7 / math.sqrt(size))
    noise = random.normal()
    if kind == "absolute":
        return lambda w: np.sign(w @ x - truth - 0.3 * noise) * x
    if kind == "hinge":
        label = 1 if truth + 0.1 * noise > 0 else -1
        return lambda w: -label * x if label * (w @ x) < 1 else 0 * x
    if kind == "square":
        return lambda w: 2 * (w @ x - truth - 0.1 * noise) * x
    sign = random.choice([-1.0, 1.0])
    return lambda w: sign * np.eye(size)[0]


@pytest.fixture
def game(metagrad, adaptive):
    """Losses of a kind played: points and gradients, [T, D], and the optimizer's state."""
    import torch

    def play(make, kind, size, steps, seed, **settings):
        random = np.random.default_rng(seed)
        parameter = torch.nn.Parameter(torch.zeros(size, dtype=torch.float64))
        optimizer = make(parameter, variant="full", **settings)
        points, slopes = [], []
        for _ in range(steps):
            point = parameter.detach().numpy().copy()
            slope = gradient_of(kind, random, size)(point)
            parameter.grad = torch.tensor(slope)
            optimizer.step()
            points.append(point)
            slopes.append(slope)
        return np.array(points), np.array(slopes), optimizer.state[parameter]

    return play


def regret(points, slopes, u):
    """Σ r and Σ r² of r = (w − u)ᵀg."""
    each = ((points - u) * slopes).sum(1)
    return each.sum(), (each**2).sum()


def comparators(slopes):
    """The best point of the unit ball in hindsight, half of it, and the centre."""
    total = slopes.sum(0)
    best = -total / max(np.linalg.norm(total), 1e-300)
    return best, best / 2, 0 * best


def log_det(slopes, factor):
    return np.linalg.slogdet(np.eye(slopes.shape[1]) + factor * slopes.T @ slopes)[1]


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize("size", [1, 3])
def test_the_regret_of_metagrad_is_within_its_bound(kind, size, game, metagrad):
    steps, bound, diameter = 80, 4.0, 2.0
    points, slopes, _ = game(metagrad, kind, size, steps, seed=0, grad_bound=bound, horizon=steps)
    n = math.ceil(0.5 * math.log2(steps))
    rates = [2.0**-i / (5 * diameter * bound) for i in range(n + 1)]
    priors = [(1 + 1 / (1 + n)) / ((i + 1) * (i + 2)) for i in range(n + 1)]
    for u in comparators(slopes):
        found, variance = regret(points, slopes, u)
        limits = [
            eta * variance
            + (u @ u / (2 * diameter**2) + 0.5 * log_det(slopes, 2 * (eta * diameter) ** 2) - math.log(prior))
            / eta
            for eta, prior in zip(rates, priors, strict=True)
        ]
        assert found <= min(limits)


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize(("size", "wake"), [(1, "center"), (3, "center"), (3, "current")])
def test_the_regret_of_adaptive_metagrad_is_within_its_bound(kind, size, wake, game, adaptive):
    steps = 80
    points, slopes, state = game(adaptive, kind, size, steps, seed=0, wake=wake)
    largest = state["B"].item()
    for u in comparators(slopes):
        found, variance = regret(points, slopes, u)
        far = (np.linalg.norm(u) + (wake == "current")) ** 2
        z = (
            far / 2
            + log_det(slopes, 2 / (4 * largest**2))
            + 2 * math.log(math.ceil(2 * math.log2(steps)))
            + 0.5
        )
        assert found <= 2.5 * math.sqrt(variance * z) + 5 * largest * z + 2 * largest


def test_regret_grows_like_a_logarithm_where_the_data_are_kind(game, adaptive):
    """√T would double it from 250 steps to 1000."""
    points, slopes, _ = game(adaptive, "hinge", 3, 1000, seed=7)
    found = [regret(points[:t], slopes[:t], comparators(slopes[:t])[0])[0] for t in (250, 1000)]
    assert found == pytest.approx([11.054, 15.683], abs=1e-3)
