"""Chunks of tasks side by side, each on a thread of its own.

An operation that is split over threads ends in a wait for the slowest of them, and a step is thousands of small
operations. So where there are chunks enough, a thread takes a whole chunk, and torch gives its operations no other.
Which thread takes which chunk changes no bit: threads share the parameters and nothing else.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TypeVar

import torch

from metacli.episode import Episode
from metacli.learner import Learner

Result = TypeVar("Result")


@dataclass(frozen=True)
class Crew:
    """threads: those of torch, shared between the chunks that run at once."""

    threads: int = 1

    def each(
        self,
        work: Callable[[Learner, Episode], Result],
        learner: Learner,
        chunks: Iterable[Episode],
        among: int,
    ) -> Iterator[Result]:
        """work(learner, chunk) in the order of `chunks`.

        among: the chunks that there are in all; those of other processes, too, so that the bits are the same.
        """
        workers = min(self.threads, among)
        if workers == 1:
            yield from (work(learner, chunk) for chunk in chunks)
            return
        free: SimpleQueue[Learner] = SimpleQueue()
        for each in [learner, *(twin(learner) for _ in range(workers - 1))]:
            free.put(each)

        def with_one(chunk: Episode) -> Result:
            own = free.get()
            try:
                return work(own, chunk)
            finally:
                free.put(own)

        pool = ThreadPoolExecutor(workers, "chunks", torch.set_num_threads, (self.threads // workers,))
        under_way: deque[Future[Result]] = deque()
        try:
            for chunk in chunks:
                under_way.append(pool.submit(with_one, chunk))
                if len(under_way) > workers:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(self.threads)  # what the workers set is what later threads would start with


SINGLE = Crew()


def twin(learner: Learner) -> Learner:
    """A copy with the same parameters and buffers: `functional_call` swaps them, which two threads must not."""
    shared = [*learner.parameters(), *learner.buffers()]
    return copy.deepcopy(learner, {id(tensor): tensor for tensor in shared})
