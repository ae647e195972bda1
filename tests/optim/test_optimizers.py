"""Both optimizers as torch optimizers: state, memory, what they refuse, tasks apart, calibration."""

import copy

import pytest
import torch

from metacli.checkpoint import load_state, save_state
from metacli.errors import UserError
from metacli.optim.domain import memory_note

VARIANTS = ("coordinate", "full", "sketched")
KINDS = ("metagrad", "adaptive")
EACH = pytest.mark.parametrize(("kind", "variant"), [(k, v) for k in KINDS for v in VARIANTS])


@pytest.fixture
def made(metagrad, adaptive):
    """(kind, parameters, settings) -> the optimizer."""

    def make(kind, *parameters, **settings):
        return {"metagrad": metagrad, "adaptive": adaptive}[kind](*parameters, **settings)

    return make


def network(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return [
        torch.nn.Parameter(torch.randn(shape, generator=generator, dtype=dtype)) for shape in ((3, 2), (3,))
    ]


def descend(optimizer, parameters, steps):
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for parameter in parameters:
            parameter.grad = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
        optimizer.step()


@EACH
def test_a_saved_state_goes_on_bit_for_bit(kind, variant, made, tmp_path):
    parameters = network()
    optimizer = (
        made(kind, *parameters, variant=variant, wake="current")
        if kind == "adaptive"
        else made(kind, *parameters, variant=variant, grad_bound=None)
    )
    optimizer.calibrate(lambda step: [setattr(p, "grad", torch.ones_like(p)) for p in parameters])
    descend(optimizer, parameters, range(10))
    save_state(tmp_path / "state", {"weights": parameters, "optimizer": optimizer.state_dict()})
    descend(optimizer, parameters, range(10, 20))

    others = network()
    again = made(kind, *others, variant=variant, **({"wake": "current"} if kind == "adaptive" else {}))
    saved = load_state(tmp_path / "state")
    again.load_state_dict(saved["optimizer"])
    kept = copy.deepcopy(saved["optimizer"]["state"])
    with torch.no_grad():
        for other, weight in zip(others, saved["weights"], strict=True):
            other.copy_(weight)
    descend(again, others, range(10, 20))
    for other, parameter in zip(others, parameters, strict=True):
        assert torch.equal(other, parameter)
    for name, tensor in kept[0].items():  # what was loaded stays as it was
        assert name == "step" or torch.equal(tensor, saved["optimizer"]["state"][0][name])


@EACH
def test_parameters_stay_within_the_radius_of_where_they_began(kind, variant, made):
    parameters, began = network(), network()
    optimizer = made(kind, *parameters, variant=variant, radius=0.1)
    assert optimizer.held_back() == 0
    for _ in range(200):
        for parameter in parameters:
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    moved = torch.cat([(p - b).detach().flatten() for p, b in zip(parameters, began, strict=True)])
    far = moved.norm() if variant != "coordinate" else moved.abs().max()
    assert 0.05 < far <= 0.1 + 1e-6
    assert (moved < 0).all()
    assert optimizer.held_back() == (1.0 if far > 0.099 else 0.0)


def test_the_share_held_back_counts_the_parameters_at_the_edge(adaptive):
    parameters = [torch.nn.Parameter(torch.zeros(4)) for _ in range(2)]
    optimizer = adaptive(*parameters, radius=0.1)
    for _ in range(60):
        parameters[0].grad = torch.tensor([1.0, 0.0, -1.0, 1.0])
        optimizer.step()  # a gradient that is None counts as 0
    assert optimizer.held_back() == 3 / 8
    assert not parameters[1].any()


@EACH
def test_the_memory_it_says_is_the_memory_it_takes(kind, variant, made):
    parameters = network()
    optimizer = made(kind, *parameters, variant=variant)
    descend(optimizer, parameters, range(16))
    kept = [value for value in optimizer.state[parameters[0]].values() if isinstance(value, torch.Tensor)]
    assert optimizer.memory(16) == sum(tensor.numel() * tensor.element_size() for tensor in kept)


def test_more_memory_than_is_free_is_refused_with_what_would_fit(adaptive):
    parameter = torch.nn.Parameter(torch.zeros(112_261))

    def of(variant):
        return adaptive(parameter, variant=variant, sketch=11)

    with pytest.raises(UserError) as error:
        memory_note(of, "full", 600, free=20 * 10**9)
    told = str(error.value)
    assert "optimizer.variant=full: 1.0 TB for 112261 parameters, and 20.0 GB are free" in told
    assert (
        "what fits: optimizer.variant=coordinate (18.0 MB), or optimizer.variant=sketched (208.4 MB)" in told
    )
    assert ", or full of at most 15811 parameters: paradigm.moves.outer=[head]" in told
    assert memory_note(of, "coordinate", 600, 10**9) == "the optimizer keeps 18.0 MB for 112261 parameters"


def test_as_many_experts_wake_as_time_allows_and_no_more_than_are_asked_for(adaptive):
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    few = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizers = adaptive(parameter), adaptive(few, experts=2)
    for step in range(1, 34):
        for each in (parameter, few):
            each.grad = torch.ones(1, dtype=torch.float64)
        for optimizer in optimizers:
            optimizer.step()
        awake = [int(o.state[p]["awake"]) for o, p in zip(optimizers, (parameter, few), strict=True)]
        assert awake == [step.bit_length(), min(2, step.bit_length())]


@pytest.mark.parametrize("kind", KINDS)
def test_there_is_no_learning_rate_to_schedule(kind, made):
    parameters = network()
    optimizer = made(kind, *parameters)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=0.5)
    with pytest.raises(ValueError, match="has no learning rate to set: leave lr at 1"):
        descend(optimizer, parameters, range(1))
    assert scheduler.get_last_lr() == [0.5]


@EACH
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("before", [0, 3])
def test_a_gradient_that_is_no_number_makes_parameters_that_are_none(value, before, kind, variant, made):
    parameters = network()
    optimizer = made(kind, *parameters, variant=variant)
    descend(optimizer, parameters, range(before))
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    parameters[0].grad[1, 1] = value
    try:
        optimizer.step()
    except torch.linalg.LinAlgError:
        return
    assert not parameters[0][1, 1].isfinite()


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_of_half_precision_are_refused(kind, made):
    with pytest.raises(ValueError, match="takes parameters of float32 or float64"):
        made(kind, torch.nn.Parameter(torch.zeros(2, dtype=torch.bfloat16)))


@EACH
def test_tasks_are_games_apart(kind, variant, made):
    """Heads [T, ...] of T tasks move as each would alone."""
    generator = torch.Generator().manual_seed(0)
    starts = [torch.randn(3, *shape, generator=generator, dtype=torch.float64) for shape in ((4, 2), (4,))]
    slopes = [[torch.randn(s.shape, generator=generator, dtype=s.dtype) for s in starts] for _ in range(12)]

    def moved(select, **settings):
        parameters = [torch.nn.Parameter(start[select].clone()) for start in starts]
        optimizer = made(kind, *parameters, variant=variant, radius=0.3, **settings)
        for step in slopes:
            for parameter, slope in zip(parameters, step, strict=True):
                parameter.grad = slope[select].clone()
            optimizer.step()
        return [parameter.detach() for parameter in parameters]

    together = moved(slice(None), per_task=True)
    for task in range(3):
        for alone, whole in zip(moved(task), together, strict=True):
            torch.testing.assert_close(alone, whole[task], rtol=1e-10, atol=1e-12)


def test_calibration_doubles_the_largest_gradient_and_moves_nothing(metagrad):
    parameters, began = network(), network()
    optimizer = metagrad(*parameters, grad_bound=None)

    def gradient(step):
        for parameter in parameters:
            parameter.grad = torch.full_like(parameter, -0.1 * step if step < 19 else 0.5)

    assert optimizer.calibrate(gradient) == {"grad_bound": pytest.approx(3.6)}
    assert optimizer.param_groups[0]["grad_bound"] == pytest.approx(3.6)
    assert all(torch.equal(p, b) for p, b in zip(parameters, began, strict=True))
    assert all(parameter.grad is None for parameter in parameters)
    assert optimizer.calibrate(gradient) == {}  # it is known now
    one_game = metagrad(*parameters, grad_bound=None, variant="full")
    assert one_game.calibrate(gradient) == {"grad_bound": pytest.approx(3 * 3.6)}  # of all 9 numbers together


def test_a_bound_that_nothing_tells_is_asked_for(metagrad):
    parameters = network()
    optimizer = metagrad(*parameters, grad_bound=None)
    with pytest.raises(ValueError, match="grad_bound is not known"):
        descend(optimizer, parameters, range(1))
    for value, said in (
        (
            0.0,
            r"pretrain.optimizer.grad_bound: all gradients of 20 .* 0\n.*: pretrain.optimizer.grad_bound=1",
        ),
        (float("nan"), r"pretrain.optimizer: .* the largest gradient of 20 steps is nan\nno bound .* helps"),
        (float("inf"), r"pretrain.optimizer: .* the largest gradient of 20 steps is inf\nno bound .* helps"),
    ):
        with pytest.raises(UserError, match=said):
            optimizer.calibrate(
                lambda step, value=value: setattr(parameters[0], "grad", torch.full((3, 2), value)),
                "pretrain.optimizer",
            )
