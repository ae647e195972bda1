"""Chunks of tasks on threads of their own: the same bits, in the same order, whatever the threads."""

import threading
import time

import pytest
import torch

from metacli.backbones.conv4 import Conv4
from metacli.crew import Crew, twin
from metacli.episode import Episode, Examples, TaskSpec
from metacli.learner import Learner
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.maml import MAML
from metacli.parts import moved, part_of, total
from metacli.runtime import seeded


@pytest.fixture(autouse=True)
def _threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def learner():
    with seeded(0, "weights"):
        backbone = Conv4(shape=(1, 9, 10), width=6, depth=3, downsample="stride", norm="batch")
        return MAML(
            inner=InnerLoop(
                spec=TaskSpec("classify", (1, 9, 10), 3),
                backbone=backbone,
                features=backbone.features,
                inner_steps=2,
                inner_eval_steps=2,
                inner_loss_reduction="mean",
                order="second",
                moves_inner=["backbone", "head"],
                moves_outer=["backbone", "head"],
                bn_mode="batch",
            ),
            inner_lr=0.2,
        )


@pytest.fixture
def chunks():
    random = torch.Generator().manual_seed(0)

    def examples(items):
        labels = torch.arange(3).repeat(4, items // 3)
        x = torch.rand(4, items, 1, 9, 10, generator=random)
        return Examples({"x": x}, labels, torch.ones_like(labels, dtype=torch.bool), labels, labels[:, :3])

    return list(Episode(examples(3), examples(6), torch.arange(4)).chunks(1))


def gradients(learner, chunks, crew, among=4):
    for parameter in learner.parameters():
        parameter.grad = None
    parts = crew.each(lambda own, chunk: part_of(own, chunk, 4), learner, chunks, among)
    losses, statistics = total(parts, moved(learner))
    return [losses, *(p.grad for p in moved(learner)), *(mean for mean, _ in statistics.values())]


def test_two_threads_give_the_bits_of_one_every_time(learner, chunks):
    alone = gradients(learner, chunks, Crew(1))
    for _ in range(5):
        assert all(map(torch.equal, gradients(learner, chunks, Crew(2)), alone))


def test_weights_are_as_before_and_none_was_copied(learner, chunks):
    before = {name: (tensor.data_ptr(), tensor.clone()) for name, tensor in learner.state_dict().items()}
    gradients(learner, chunks, Crew(4))
    for name, tensor in learner.state_dict().items():
        assert tensor.data_ptr() == before[name][0]
        assert torch.equal(tensor, before[name][1])


def test_a_twin_shares_parameters_and_buffers_and_no_module(learner):
    other = twin(learner)
    for name, tensor in learner.state_dict(keep_vars=True).items():
        assert other.state_dict(keep_vars=True)[name] is tensor
    assert not set(learner.modules()) & set(other.modules())
    assert other.inner.network is other.network  # references inside go along
    assert other.training == learner.training


class Slow(Learner):
    """Late chunks are ready first; knows who works on what."""

    def __init__(self):
        super().__init__(TaskSpec("classify", (1, 9, 10), 3))
        self.seen = []  # of this copy


def lateness(learner, chunk):
    number = int(chunk.index[0])
    learner.seen.append(number)
    assert len(learner.seen) == 1, "two chunks at once in one copy"
    time.sleep(0.05 - 0.01 * number)
    learner.seen.remove(number)
    return number, threading.get_ident(), torch.get_num_threads()


def test_results_come_in_the_order_of_the_chunks(chunks):
    assert [number for number, _, _ in Crew(3).each(lateness, Slow(), chunks, 4)] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("threads", "among", "workers", "each"), [(1, 4, 1, 1), (2, 4, 2, 1), (4, 2, 2, 2), (3, 1, 1, 3)]
)
def test_threads_are_shared_between_the_chunks_that_run_at_once(chunks, threads, among, workers, each):
    torch.set_num_threads(threads)
    found = list(Crew(threads).each(lateness, Slow(), chunks, among))
    assert len({who for _, who, _ in found}) == workers
    assert {own for _, _, own in found} == {each}
    assert torch.get_num_threads() == threads


def test_later_threads_start_with_all_that_there_are(chunks):
    torch.set_num_threads(2)
    list(Crew(2).each(lateness, Slow(), chunks, 4))
    found = []
    later = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    later.start()
    later.join()
    assert found == [2]


def test_a_mistake_in_a_chunk_is_raised_and_ends_the_rest(chunks):
    done = []

    def work(learner, chunk):
        done.append(int(chunk.index[0]))
        raise ValueError(f"chunk {done[-1]}")

    with pytest.raises(ValueError, match="chunk 0"):
        list(Crew(2).each(work, Slow(), chunks * 10, 40))
    assert len(done) < 10
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("chunks")]
