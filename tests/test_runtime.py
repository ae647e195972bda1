import os

import pytest
import torch

from metacli.errors import UserError
from metacli.runtime import generator, prepare, resolve_device, resolve_threads, seeded


def numbers(*arguments):
    return torch.rand(4, generator=generator(*arguments)).tolist()


def test_a_generator_depends_on_seed_purpose_and_index_alone():
    torch.manual_seed(1)
    first = numbers(0, "train", 3)
    torch.manual_seed(2)
    assert numbers(0, "train", 3) == first
    others = [numbers(1, "train", 3), numbers(0, "val", 3), numbers(0, "train", 4), numbers(0, "train3")]
    assert len({tuple(row) for row in [first, *others]}) == 5


def test_generators_are_the_same_on_every_machine():
    """Episodes are compared between machines: this value may not change."""
    assert generator(0, "test evaluation", 1).initial_seed() == 877598777770808618


def test_seeded_blocks_repeat_and_leave_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with seeded(0, "weights"):
        first = torch.rand(3)
    assert torch.equal(torch.rand(3), expected)
    with seeded(0, "weights"):
        assert torch.equal(torch.rand(3), first)
    with seeded(1, "weights"):
        assert not torch.equal(torch.rand(3), first)


def test_auto_takes_the_first_device_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cuda")


def test_a_device_that_is_not_there_is_refused_with_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "cuda:1", "mps", "tpu"):
        with pytest.raises(UserError, match=f"device.name={name}: not available here") as error:
            resolve_device(name)
        assert error.value.hint == "use one of: cpu, auto"


def test_processes_beside_each_other_take_a_gpu_each_or_share_the_cores(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("auto", "cuda"):
        assert resolve_device(name, local=1, beside=2) == torch.device("cuda:1")
        with pytest.raises(UserError, match=r"device\.processes=3: each takes a GPU, and there are 2"):
            resolve_device(name, local=1, beside=3)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto", local=1, beside=2) == torch.device("cpu")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(7)), raising=False)
    assert [resolve_threads(0, beside) for beside in (1, 2, 9)] == [7, 3, 1]
    assert resolve_threads(4, beside=2) == 4


def test_a_gpu_beyond_the_last_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(UserError, match="cuda:2"):
        resolve_device("cuda:2")


def test_no_threads_means_as_many_as_the_process_may_use():
    assert resolve_threads(3) == 3
    assert 1 <= resolve_threads(0) <= (os.cpu_count() or 1)


def test_prepare_sets_threads_and_deterministic_kernels(device):
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    fill = torch.utils.deterministic.fill_uninitialized_memory
    try:
        prepare(device, 2)
        assert torch.get_num_threads() == 2
        assert torch.are_deterministic_algorithms_enabled()
        if device.type == "cuda":
            assert not torch.backends.cuda.matmul.allow_tf32
            assert not torch.backends.cudnn.allow_tf32
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic)
        torch.utils.deterministic.fill_uninitialized_memory = fill
