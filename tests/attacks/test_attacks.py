"""Each attack by itself: closed forms, its ball, its start, and the slope it goes up."""

import pytest
import torch

from metacli.attacks.attack import slope
from metacli.attacks.fgm import FGM
from metacli.attacks.fgsm import FGSM
from metacli.attacks.freelb import FreeLB
from metacli.attacks.pgd import PGD
from metacli.attacks.space import Pixels

SHAPE = (2, 3, 1, 5, 5)  # of images in the middle of their range, so that 0.2 more is no edge


def draw(seed, low=0.0, high=1.0):
    return low + (high - low) * torch.rand(
        SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


WEIGHTS = draw(1, -1.0)
X = draw(2)
MIDDLE = draw(3, 0.4, 0.6)


def linear(x):
    return (WEIGHTS * x).flatten(1).sum(1)


def noise(number):
    return draw(10 + number, -1.0)


def made(name, **changed):
    usual = {
        FGSM: {"epsilon": 0.1},
        PGD: {"epsilon": 0.1, "step": 0.25, "steps": 7, "eval_steps": 20, "restarts": 2},
        FGM: {"epsilon": 0.5},
        FreeLB: {"epsilon": 0.5, "start": 0.4, "step": 0.3, "steps": 3},
    }
    return name(**{**usual[name], **changed})


EACH = pytest.mark.parametrize("name", [FGSM, PGD, FGM, FreeLB])


def far(name, moved):
    """In the norm of the attack, the farthest item."""
    each = moved.flatten(2)
    return float((each.abs() if name in (FGSM, PGD) else each.norm(dim=2)).max())


@EACH
@pytest.mark.parametrize("epsilon", [0.0, 0.03, 1.0, 50.0])
def test_what_is_to_be_withstood_is_within_epsilon_and_an_image(name, epsilon):
    for at in made(name).to_withstand(linear, Pixels(X), noise, epsilon):
        assert far(name, at - X) <= epsilon + 1e-6
        assert at.min() >= 0
        assert at.max() <= 1
        if epsilon == 0:
            assert torch.equal(at, X)
        else:
            assert (linear(at) > linear(X)).all()


@EACH
def test_what_is_trained_on_is_within_epsilon_and_the_last_of_it_is_the_strongest(name):
    attack = made(name)
    versions = attack.to_train_on(linear, Pixels(X), noise)
    assert all(far(name, at - X) <= attack.epsilon + 1e-6 for at in versions)
    losses = torch.stack([linear(at) for at in versions])
    assert (losses.argmax(0) == len(versions) - 1).all()


def test_fgsm_is_one_step_of_epsilon_in_every_pixel():
    (at,) = made(FGSM).to_train_on(linear, Pixels(MIDDLE), noise)
    torch.testing.assert_close(at, MIDDLE + 0.1 * WEIGHTS.sign())


def test_pgd_on_a_linear_loss_ends_in_the_corner_from_wherever_it_starts():
    """20 steps of a quarter are more than enough for the way through the whole ball."""
    ends = list(made(PGD).to_withstand(linear, Pixels(MIDDLE), noise, 0.1))
    assert len(ends) == 2
    for end in ends:
        torch.testing.assert_close(end, MIDDLE + 0.1 * WEIGHTS.sign())
    (early,) = made(PGD, steps=1).to_train_on(linear, Pixels(MIDDLE), noise)
    expected = (0.1 * noise(0) + 0.025 * WEIGHTS.sign()).clamp(-0.1, 0.1)
    torch.testing.assert_close(early, MIDDLE + expected)


def test_fgm_is_a_step_of_length_epsilon_beside_the_inputs_as_they_are():
    clean, at = made(FGM).to_train_on(linear, Pixels(MIDDLE), noise)
    assert torch.equal(clean, MIDDLE)
    torch.testing.assert_close(
        at - MIDDLE, 0.5 * WEIGHTS / WEIGHTS.flatten(2).norm(dim=2).view(2, 3, 1, 1, 1)
    )


def test_freelb_trains_on_the_points_that_its_steps_begin_at():
    attack = made(FreeLB)
    points = attack.to_train_on(linear, Pixels(MIDDLE), noise)
    (end,) = attack.to_withstand(linear, Pixels(MIDDLE), noise, 0.5)
    direction = WEIGHTS / WEIGHTS.flatten(2).norm(dim=2).view(2, 3, 1, 1, 1)
    at = 0.4 * 0.5 / 5 * noise(0)  # 25 pixels: the longest start is 0.4 epsilon
    for point in [*points, end]:
        torch.testing.assert_close(point - MIDDLE, at)
        at = at + 0.3 * 0.5 * direction
        at = at * (0.5 / at.flatten(2).norm(dim=2).view(2, 3, 1, 1, 1)).clamp_max(1)
    assert len(points) == 3


@EACH
def test_a_slope_of_zero_moves_nothing_but_a_random_start(name):
    (at, *_) = made(name).to_withstand(lambda x: (0 * x).flatten(1).sum(1), Pixels(X), noise, 0.1)
    assert at.isfinite().all()
    assert far(name, at - X) <= 0.1 + 1e-6


def test_the_slope_is_to_the_inputs_and_leaves_no_trace():
    weight = torch.nn.Parameter(torch.ones((), dtype=torch.float64))
    x = X.clone()
    with torch.no_grad():
        found = slope(lambda at: (weight * at**2).flatten(1).sum(1), x)
    torch.testing.assert_close(found, 2 * x)
    assert weight.grad is None
    assert not x.requires_grad
    assert not found.requires_grad
