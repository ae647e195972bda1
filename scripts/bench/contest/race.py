"""Play a case: check every contender against float64, then let them take turns, one at a time."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from contest.cases import Case, Contender
from contest.work import Work


@dataclass(frozen=True)
class Setting:
    """What is the same in every case. repeat: turns of each contender."""

    python: Path
    environment: dict[str, str]
    device: str
    threads: int
    repeat: int


@dataclass(frozen=True)
class Result:
    """rates: tasks/s by turn · error: against float64, None where there is nothing to check · flops: of a task."""

    name: str
    rates: list[float]
    error: float | None
    flops: float | None
    peak: int


@dataclass(frozen=True)
class Played:
    """sgemm: FLOP/s by turn, in the same run."""

    results: list[Result]
    sgemm: list[float]


def play(case: Case, setting: Setting) -> Played:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        references = _references(case, setting, folder)
        racers = []
        for contender in case.contenders:
            reference, flops = references[contender.work]
            racers.append((stack.enter_context(_worker(contender, setting, reference)), flops))
        product = stack.enter_context(
            _worker(Contender("sgemm", case.contenders[0].work), setting, folder / "none")
        )
        errors = [worker.ask("first")["error"] for worker, _ in racers]
        flops_of_product = product.ask("first")["flops"]
        seconds: list[list[float]] = [[] for _ in racers]
        products: list[float] = []
        for turn in range(setting.repeat + 1):
            for times, (worker, _) in zip(seconds, racers, strict=True):
                times.append(worker.ask("turn"))
            products.append(flops_of_product / product.ask("turn"))
            if turn == 0:  # to warm up
                products.clear()
                for times in seconds:
                    times.clear()
        results = [
            Result(
                name=contender.name,
                rates=[contender.work.tasks / each for each in times],
                error=error,
                flops=None if error is None else flops / contender.work.tasks,
                peak=worker.ask("peak"),
            )
            for contender, (worker, flops), times, error in zip(
                case.contenders, racers, seconds, errors, strict=True
            )
        ]
        return Played(results, products)


def _references(case: Case, setting: Setting, folder: Path) -> dict[Work, tuple[Path, float]]:
    """Each different work once, by torch alone in float64: where its outcome lies, and the FLOP of a step."""
    found: dict[Work, tuple[Path, float]] = {}
    for contender in case.contenders:
        work = contender.work
        if work not in found:
            path = folder / f"{len(found)}.pt"
            with _worker(Contender("plain", work), setting, path, double=True) as worker:
                found[work] = path, worker.ask("first")["flops"]
    return found


class Worker:
    def __init__(self, process: "subprocess.Popen[str]", name: str) -> None:
        self.process = process
        self.name = name

    def ask(self, what: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(what, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"{self.name} stopped; what it said stands above")
        return json.loads(answer)


@contextmanager
def _worker(
    contender: Contender, setting: Setting, reference: Path, *, double: bool = False
) -> Iterator[Worker]:
    work = replace(contender.work, repeats=1) if contender.plays == "sgemm" else contender.work
    asked = {
        "plays": contender.plays,
        "work": asdict(work),
        "device": setting.device,
        "threads": setting.threads,
        "double": double,
        "reference": str(reference),
    }
    process = subprocess.Popen(
        [setting.python, "-m", "contest.worker", json.dumps(asked)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=setting.environment,
    )
    try:
        yield Worker(process, contender.name)
    finally:
        process.kill()
        process.communicate()
