"""What ranks tell each other. Tensors on a GPU go through NCCL, all else through gloo."""

import io
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from metacli.distributed.other import LOST, Other
from metacli.distributed.parts import packed, packed_size, unpacked
from metacli.errors import Interrupted, UserError
from metacli.launched import Launch
from metacli.parts import Part

PATIENCE = timedelta(minutes=30)  # with a rank that is there and does not answer
DYING = 5.0  # seconds until a process whose connection is closed must have ended


class RankLost(Interrupted):
    """Another rank has ended, or does not answer."""


class Ranks:
    """All ranks as one of them sees them. others: those that it started · local: whether all are on this machine."""

    def __init__(
        self,
        launch: Launch,
        store: dist.Store | None = None,
        others: Sequence[Other] = (),
        *,
        local: bool = False,
    ) -> None:
        self.launch = launch
        self.rank = launch.rank
        self.world = launch.world
        self.store = store
        self.others = others
        self.local = local
        self.connected = False
        self.turn = 0

    @property
    def first(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def meet(self) -> None:
        """Connect. Every rank calls it once; nothing is exchanged before."""
        if self.store is None:
            return
        if dist.is_initialized():
            raise UserError(
                "device.processes: this program uses torch.distributed itself",
                "set device.processes=1, or run the command metacli",
            )
        while missing := [other for other in self.others if not other.is_here(self.store)]:
            if any(other.code is not None for other in missing):
                raise self._lost("it never came")
            time.sleep(0.01)
        gpu = torch.cuda.is_available() and dist.is_nccl_available()
        with self._noticing(), _loopback() if self.local else nullcontext():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if gpu else "gloo",
                store=self.store,
                rank=self.rank,
                world_size=self.world,
                timeout=PATIENCE,
            )
        self.connected = True

    def part(self, *, done: bool) -> None:
        """Disconnect. done: whether all has been exchanged, so that nobody is kept from it."""
        if not self.connected:
            return
        self.connected = False
        with suppress(RuntimeError, RankLost):
            if done:
                self.highest(0)
            dist.destroy_process_group()

    def in_order(
        self, parts: Iterator[Part], sizes: Sequence[int], parameters: Sequence[nn.Parameter]
    ) -> Iterator[Part]:
        """The parts of all chunks of a step, which have `sizes` tasks; `parts` are ours: of every world-th chunk."""
        if self.world == 1:
            yield from parts
            return
        ours: Part | None = None
        for start in range(0, len(sizes), self.world):
            ours = next(parts, ours)
            assert ours is not None  # a config with more ranks than chunks is refused
            for owner, tasks in enumerate(sizes[start : start + self.world]):
                if owner == self.rank:
                    self._broadcast(packed(ours, parameters), owner)
                    yield ours
                else:
                    size = packed_size(ours, tasks, parameters)
                    content = torch.empty(size, dtype=torch.uint8, device=ours.losses.device)
                    self._broadcast(content, owner)
                    yield unpacked(content, ours, tasks, parameters)

    def highest(self, number: int) -> int:
        """The highest that any rank says."""
        if self.world == 1:
            return number
        said = torch.tensor(number)
        with self._noticing():
            _wait(dist.all_reduce(said, dist.ReduceOp.MAX, async_op=True))
        return int(said)

    def from_first(self, state: dict[str, Any]) -> dict[str, Any]:
        """What the first rank gives, however long it was busy alone: tensors, on the CPU, and plain values."""
        if self.world == 1:
            return state
        self._wait_for_first()
        buffer = io.BytesIO()
        if self.first:
            torch.save(state, buffer)
        content = io.BytesIO(self._bytes_from(0, buffer.getvalue()))
        return torch.load(content, map_location="cpu", weights_only=True)

    def from_all(self, parts: dict[int, dict[str, Tensor]]) -> dict[int, dict[str, Tensor]]:
        """Parts by their number, ours and those of the others, on the CPU."""
        if self.world == 1:
            return parts
        from safetensors.torch import load, save

        ours = {f"{number} {name}": tensor for number, part in parts.items() for name, tensor in part.items()}
        content = save({name: tensor.contiguous() for name, tensor in ours.items()})
        found: dict[int, dict[str, Tensor]] = {}
        for owner in range(self.world):
            for key, tensor in load(self._bytes_from(owner, content)).items():
                number, _, name = key.partition(" ")
                found.setdefault(int(number), {})[name] = tensor
        return found

    def _wait_for_first(self) -> None:
        """By the store, whose patience has no end; whoever started us stops us should the first one die."""
        assert self.store is not None
        self.turn += 1
        key, pause = f"turn {self.turn}", 1e-3
        if self.first:
            self.store.set(key, "")
        while not self.store.check([key]):
            time.sleep(pause)
            pause = min(1.5 * pause, 0.1)

    def _bytes_from(self, owner: int, content: bytes) -> bytes:
        """What `owner` gives, whatever the others do."""
        size = torch.tensor(len(content))
        self._broadcast(size, owner)
        body = torch.empty(int(size), dtype=torch.uint8)
        if owner == self.rank and content:
            body = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        self._broadcast(body, owner)
        return body.numpy().tobytes()

    def _broadcast(self, tensor: Tensor, owner: int) -> None:
        with self._noticing():
            work = dist.broadcast(tensor, owner, async_op=True)
            _wait(work, polite=not tensor.is_cuda)

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            raise self._lost(str(error)) from None

    def _lost(self, why: str) -> RankLost:
        """Who, as far as we can know. What one that failed had to say is passed on."""
        until = time.monotonic() + DYING
        while self.others and time.monotonic() < until:
            for other in self.others:
                code = other.code
                if code is None or code == LOST:
                    continue
                who = f"process {other.rank + 1} of {self.world}"
                if code < 0:
                    return RankLost(f"{who} was killed by {signal.Signals(-code).name}", 128 - code)
                sys.stderr.write(other.said)
                return RankLost(f"{who} ended with exit code {code}", 1)
            time.sleep(0.02)
        first = next(iter(why.splitlines()), "")
        return RankLost(f"another process of the run has ended, or does not answer: {first}", 1)


def _wait(work: dist.Work | None, *, polite: bool = True) -> None:
    """Politely: Ctrl-C is heard, which it is not in torch's own waiting. On a GPU only what follows there waits."""
    assert work is not None  # nobody is outside the group
    pause = 1e-5
    while polite and not work.is_completed():
        time.sleep(pause)
        pause = min(1.5 * pause, 1e-3)
    work.wait()  # raises what went wrong


@contextmanager
def _loopback() -> Iterator[None]:
    """Meanwhile gloo speaks to this machine alone."""
    name, before = "GLOO_SOCKET_IFNAME", os.environ.get("GLOO_SOCKET_IFNAME")
    loopback = next((found for _, found in socket.if_nameindex() if found.startswith("lo")), None)
    if before is None and loopback is not None:
        os.environ[name] = loopback
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)


ALONE = Ranks(Launch(0, 1, 0, 1))
