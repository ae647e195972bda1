"""What ranks exchange and where they stand; in processes of their own: commands/test_processes.py."""

import pytest
import torch
from torch import nn

from metacli.distributed import ALONE
from metacli.distributed.parts import packed, packed_size, unpacked
from metacli.errors import UserError
from metacli.launched import Launch, company, launched
from metacli.library.session import session
from metacli.parts import Part


def part_of(tasks):
    torch.manual_seed(tasks)
    statistics = {
        "block.norm": (torch.randn(tasks, 5), torch.rand(tasks, 5)),
        "norm": (torch.randn(tasks, 2), torch.rand(tasks, 2)),
    }
    gradients = (torch.randn(3, 4).t(), None, torch.randn((), dtype=torch.float64), torch.randn(7))
    return Part(torch.rand(tasks), gradients, statistics)


PARAMETERS = [
    nn.Parameter(torch.zeros(shape, dtype=dtype))
    for shape, dtype in [((4, 3), None), (3, None), ((), torch.float64), (7, None)]
]


@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_a_part_comes_out_as_it_went_in_whatever_the_size_of_ours(tasks):
    part, ours = part_of(tasks), part_of(3)
    content = packed(part, PARAMETERS)
    assert len(content) == packed_size(ours, tasks, PARAMETERS)
    found = unpacked(content, ours, tasks, PARAMETERS)
    assert torch.equal(found.losses, part.losses)
    assert found.statistics.keys() == part.statistics.keys()
    for name, pair in part.statistics.items():
        assert all(map(torch.equal, found.statistics[name], pair))
    for gradient, expected in zip(found.gradients, part.gradients, strict=True):
        assert (gradient is None) == (expected is None)
        assert expected is None or torch.equal(gradient, expected)


def test_a_rank_alone_exchanges_nothing():
    parts = [part_of(2), part_of(1)]
    assert list(ALONE.in_order(iter(parts), [2, 1], PARAMETERS)) == parts
    assert ALONE.highest(3) == 3
    state = {"a": torch.ones(2)}
    assert ALONE.from_first(state) is state
    assert ALONE.from_all({0: state}) == {0: state}


@pytest.fixture
def torchrun(monkeypatch):
    """Set what rank 5 of 8, two to a machine, finds."""
    said = {"RANK": 5, "WORLD_SIZE": 8, "LOCAL_RANK": 1, "LOCAL_WORLD_SIZE": 2}
    for name, value in (said | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}).items():
        monkeypatch.setenv(name, str(value))


def test_torchrun_says_how_many_processes_there_are(torchrun):
    assert launched() == company(3) == Launch(5, 8, 1, 2)


def test_else_the_config_does():
    assert launched() is None
    assert company(3) == Launch(0, 3, 0, 3)


def test_a_program_may_not_be_one_of_torchruns_processes(torchrun):
    with pytest.raises(UserError, match="torchrun"), session():
        pass
