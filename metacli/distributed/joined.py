"""How ranks come together: the first tells the others what to do, and they do it."""

import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch.distributed as dist

from metacli.distributed.other import Other, here
from metacli.distributed.ranks import ALONE, PATIENCE, Ranks
from metacli.launched import Launch, company, launched

_JOB = "job"  # the key under which the first rank says what to do
_LEAVE = 10.0  # seconds that a rank may take to end once all is done


@contextmanager
def joined(job: Mapping[str, Any], processes: int, command: Sequence[str]) -> Iterator[Ranks]:
    """For the first rank: all of them, to whom `job` is told. They have yet to meet.

    processes: to be started, this one among them; by `command`, as in Other. Those of torchrun are there already.
    """
    launch = company(processes)
    if launched() is None and processes == 1:
        yield ALONE
    elif launched():
        store = _launched_store()
        store.set(_JOB, json.dumps(job))
        with _parting(Ranks(launch, store)) as ranks:
            yield ranks
    else:
        with tempfile.TemporaryDirectory(prefix="metacli-", ignore_cleanup_errors=True) as folder:
            store = dist.FileStore(os.path.join(folder, "store"), processes)
            store.set(_JOB, json.dumps(job))
            others: list[Other] = []
            patience = 0.0
            try:
                for rank in range(1, processes):
                    others.append(Other(command, Path(folder), rank, processes))
                with _parting(Ranks(launch, store, others, local=True)) as ranks:
                    yield ranks
                patience = _LEAVE
            finally:
                for other in others:
                    other.leave(patience)


@contextmanager
def follow(folder: str, rank: int, world: int, parent: int) -> Iterator[tuple[Ranks, dict[str, Any]]]:
    """For a rank that `joined` started: all of them, and what to do."""
    _end_with(parent, Path(folder))
    store = dist.FileStore(os.path.join(folder, "store"), world)
    store.set(here(rank), "")
    with _parting(Ranks(Launch(rank, world, rank, world), store, local=True)) as ranks:
        yield ranks, json.loads(store.get(_JOB))


@contextmanager
def follow_launched() -> Iterator[tuple[Ranks, dict[str, Any]]]:
    """The same for one that torchrun started; nothing to do where the first rank ended without a run."""
    launch = launched()
    assert launch is not None
    store = _launched_store()
    with _parting(Ranks(launch, store)) as ranks:
        store.wait([_JOB], PATIENCE)
        yield ranks, json.loads(store.get(_JOB))


def release() -> None:
    """For the first of torchrun's ranks, which has ended: if the others still wait for a job, there is none."""
    store = _launched_store()
    if not store.check([_JOB]):
        store.set(_JOB, "{}")


def _launched_store() -> dist.Store:
    global _store
    if _store is None:
        _store, _, _ = next(dist.rendezvous("env://", timeout=PATIENCE))
    return _store


_store: dist.Store | None = None


@contextmanager
def _parting(ranks: Ranks) -> Iterator[Ranks]:
    done = False
    try:
        yield ranks
        done = True
    finally:
        ranks.part(done=done)


def _end_with(parent: int, folder: Path) -> None:
    """A rank alone would wait, and nobody would tidy up after it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        with suppress(OSError):
            shutil.rmtree(folder)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
