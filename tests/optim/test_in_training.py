"""In the outer loop: calibrated once, in the run's record; killed and resumed to the same bits; the edge is watched."""

import json

import pytest
import torch
from torch import nn

from metacli.console import Console
from metacli.episode import Episode, Examples, TaskSpec
from metacli.learner import Learner
from metacli.rundir import create
from metacli.trainer import Plan, Trainer

PLAN = Plan(
    steps=12, meta_batch=2, chunk=2, val_every=4, log_every=2, patience=0, clip=0.0, lr=None, schedule="constant",
    seed=0, metric="accuracy",
)  # fmt: skip


class Pull(Learner):
    """A point that each episode pulls elsewhere."""

    def __init__(self, far=1.0):
        super().__init__(TaskSpec("classify", (1,), 2))
        self.point = nn.Parameter(torch.zeros(5))
        self.far = far

    def meta_loss(self, episode):
        return (self.point - self.far * episode.query.inputs["x"][:, 0]).square().sum(1)


def episode(step):
    generator = torch.Generator().manual_seed(step)
    items = torch.zeros(2, 1, dtype=torch.long)
    examples = Examples({"x": torch.randn(2, 1, 5, generator=generator) + 1}, items, items == 0, items, items)
    return Episode(examples, examples, torch.arange(2))


@pytest.fixture
def trainer(metagrad, adaptive, tmp_path):
    """(kind, settings) -> a trainer; `said` collects its lines, `seen` the steps whose episodes it asked for."""

    def make(kind, *, run=None, far=1.0, stop=None, **settings):
        learner = Pull(far)
        make_optimizer = {"metagrad": metagrad, "adaptive": adaptive}[kind]
        settings |= {"horizon": PLAN.steps, "grad_bound": None} if kind == "metagrad" else {"wake": "current"}

        def episodes(step):
            if made.progress.step == stop:
                raise KeyboardInterrupt
            made.seen.append(step)
            return episode(step)

        made = Trainer(
            learner=learner,
            optimizer=make_optimizer(learner.point, **settings),
            episodes=episodes,
            validate=lambda: [0.5, 0.5],
            plan=PLAN,
            run=run or create(tmp_path, {}, {}, {}),
            console=Console(lambda line: made.said.append(line), live=False),
        )
        made.seen, made.said = [], []
        return made

    return make


@pytest.mark.parametrize("variant", ["coordinate", "full", "sketched"])
@pytest.mark.parametrize("kind", ["metagrad", "adaptive"])
def test_a_killed_training_goes_on_to_the_same_bits(kind, variant, trainer):
    whole = trainer(kind, variant=variant)
    whole.fit()
    killed = trainer(kind, variant=variant, stop=6)
    with pytest.raises(KeyboardInterrupt):
        killed.fit()
    resumed = trainer(kind, variant=variant, run=killed.run)
    resumed.resume()
    assert resumed.progress.step == 4
    resumed.fit()
    assert resumed.seen == list(range(4, 12))  # calibrated it was before
    assert torch.equal(resumed.learner.point, whole.learner.point)
    assert whole.learner.point.abs().min() > 0
    kept, expected = (made.optimizer.state[made.learner.point] for made in (resumed, whole))
    assert kept.keys() == expected.keys()
    for name, value in expected.items():
        assert kept[name] == value if name == "step" else torch.equal(kept[name], value)
    assert resumed.progress.history == whole.progress.history


def test_the_bound_is_found_before_training_and_recorded(trainer):
    made = trainer("metagrad")
    made.fit()
    steps = [step % PLAN.steps for step in range(20)]
    assert made.seen == steps + list(range(PLAN.steps))
    gradients = [2 * episode(step).query.inputs["x"].mean((0, 1)) for step in steps]
    expected = 2 * torch.stack(gradients).abs().max().item()
    recorded = json.loads((made.run.path / "manifest.json").read_text())["calibrated"]["optimizer.grad_bound"]
    assert recorded == pytest.approx(expected, rel=1e-6)
    assert made.optimizer.param_groups[0]["grad_bound"] == recorded
    assert f"optimizer.grad_bound: {expected:.4g}, found in steps that moved nothing" in made.said


def test_parameters_at_the_edge_are_counted_and_said_once(trainer):
    far, near = trainer("adaptive", far=100.0, radius=0.1, prior=10.0), trainer("adaptive", radius=10.0)
    for made in (far, near):
        made.fit()
    assert [row["held_back"] for row in near.progress.history] == [0.0] * 6
    assert far.progress.history[-1]["held_back"] == 1.0
    told = "20% of the parameters are at the edge of their domain: a larger optimizer.radius may help"
    assert [line for line in far.said if "edge" in line] == [told]
    assert not [line for line in near.said if "edge" in line]
