import pytest
import torch

from metacli import chunk as chunks
from metacli.chunk import automatic, kept_by, memory

GB = 2**30


@pytest.mark.parametrize(
    ("tasks", "threads", "world", "expected"),
    [
        (32, 1, 1, 8),  # more gains nothing
        (32, 2, 2, 8),
        (8, 2, 1, 4),  # each thread has one
        (8, 2, 2, 2),
        (8, 3, 1, 3),
        (8, 1, 3, 3),
        (4, 1, 3, 1),  # of 2, each process would not have one
        (4, 8, 1, 1),
        (1, 2, 1, 8),  # for evaluation
    ],
)
def test_every_thread_of_every_process_has_a_chunk(tasks, threads, world, expected):
    found = automatic(
        tasks, threads=threads, world=world, beside=world, memory=999 * GB, kept=10**6, largest=8
    )
    assert found == expected


@pytest.mark.parametrize(
    ("threads", "world", "expected"),
    [(1, 1, 5), (2, 1, 2), (1, 2, 2), (2, 2, 1), (9, 1, 1)],
)
def test_what_is_under_way_at_once_takes_half_of_the_memory_at_most(threads, world, expected):
    """8 GB hold 5 tasks that take three times a quarter of a GB each."""
    found = automatic(32, threads=threads, world=world, beside=world, memory=8 * GB, kept=GB // 4, largest=8)
    assert found == expected


def test_processes_on_other_machines_take_none_of_our_memory():
    found = automatic(32, threads=1, world=2, beside=1, memory=8 * GB, kept=GB // 4, largest=8)
    assert found == 5


def test_a_graph_keeps_each_tensor_once():
    a, b = torch.ones(100, requires_grad=True), torch.ones(100, requires_grad=True)
    assert kept_by(lambda: a * b) == 2 * 400
    assert kept_by(lambda: a.view(10, 10) * a.view(10, 10)) == 400
    assert kept_by(lambda: a + b) == 0
    assert kept_by(lambda: (a.exp().exp(), b.sum())) == 2 * 400


def test_a_container_may_have_less_memory_than_its_machine(monkeypatch, tmp_path):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(chunks, "_LIMITS", (limit,))
    whole = memory(torch.device("cpu"))
    assert whole > 10**8
    limit.write_text("max\n")
    assert memory(torch.device("cpu")) == whole
    limit.write_text("123456\n")
    assert memory(torch.device("cpu")) == 123456
