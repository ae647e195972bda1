"""One contender in a process of its own, so that its memory is its own and so are its settings.

    python -m contest.worker '{"plays": "metacli", "work": {...}, "device": "cpu", "threads": 2, ...}'

Answers each line of standard input with a line of JSON: "first" computes the work once and says how far the outcome
is from the reference, which "reference" writes; "turn" says how long a turn took; "peak" how much memory the process
held at most.
"""

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from contest.contenders import CONTENDERS
from contest.work import Work


def main() -> None:
    asked = json.loads(sys.argv[1])
    answers, sys.stdout = sys.stdout, sys.stderr  # peers may print
    contender = Playing(asked)
    answer: dict[str, Callable[[], Any]] = {
        "reference": contender.write_reference,
        "first": contender.first,
        "flops": contender.flops,
        "turn": contender.turn,
        "peak": contender.peak,
    }
    for line in sys.stdin:
        print(json.dumps(answer[line.strip()]()), file=answers, flush=True)


class Playing:
    """asked: plays, work, device, threads; double, whether in float64; reference, the file."""

    def __init__(self, asked: dict[str, Any]) -> None:
        module = importlib.import_module(CONTENDERS[asked["plays"]])  # before torch: see there
        import torch

        self.torch = torch
        self.work = Work(**asked["work"])
        self.device = torch.device(asked["device"])
        self.reference = Path(asked["reference"])
        dtype = torch.float64 if asked["double"] else torch.float32
        self.entry = module.Entry(self.work, self.device, asked["threads"], dtype)

    def write_reference(self) -> int:
        """FLOP of a step: those of convolutions and matrix products."""
        from torch.utils.flop_counter import FlopCounterMode

        with FlopCounterMode(display=False) as counter:
            self.entry.step()
        self.torch.save(self.entry.outcome(), self.reference)
        return counter.get_total_flops()

    def first(self) -> float | None:
        """‖outcome − reference‖ / ‖reference‖; None where there is nothing to compare."""
        self.entry.step()
        outcome = self.entry.outcome()
        if outcome is None:
            return None
        reference = self.torch.load(self.reference)
        return ((outcome - reference).norm() / reference.norm()).item()

    def flops(self) -> float | None:
        """Of a step, where the contender knows."""
        return getattr(self.entry, "flops", None)

    def turn(self) -> float:
        """Seconds of a step, the mean of the turn's."""
        self._wait()
        started = time.perf_counter()
        for _ in range(self.work.repeats):
            self.entry.step()
        self._wait()
        return (time.perf_counter() - started) / self.work.repeats

    def peak(self) -> int:
        """Bytes: resident, or allocated on the GPU."""
        if self.device.type == "cuda":
            return self.torch.cuda.max_memory_allocated(self.device)
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

    def _wait(self) -> None:
        if self.device.type == "cuda":
            self.torch.cuda.synchronize(self.device)


if __name__ == "__main__":
    main()
