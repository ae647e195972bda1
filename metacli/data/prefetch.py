"""Episodes prepared ahead by threads. Each depends on its step alone, so any number of threads gives the same."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from metacli.episode import Episode


def prefetched(make: Callable[[int], Episode], workers: int, steps: int) -> Callable[[int], Episode]:
    """`make`, called up to `workers` steps ahead; steps are asked for in order."""
    if not workers:
        return make
    pool = ThreadPoolExecutor(workers, thread_name_prefix="episodes")
    ahead: dict[int, Future[Episode]] = {}

    def take(step: int) -> Episode:
        for coming in range(step, min(step + workers + 1, steps)):
            if coming not in ahead:
                ahead[coming] = pool.submit(make, coming)
        return ahead.pop(step).result()

    return take
