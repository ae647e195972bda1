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

LARGEST_ERROR = 1e-4  # of float32, as long as no rounding takes another side of a ReLU or a maximum
LARGEST_EXACT = 1e-6  # some settings of a peer stay in float32


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
    """rates: tasks/s by turn · error: from float64, None where there is nothing to check · flops: of a task.

    exact: the error of the same contender in float64, asked for where the other is too large for rounding alone.
    """

    name: str
    rates: list[float]
    error: float | None
    exact: float | None
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
        workers, errors, exact = [], [], []
        for contender in case.contenders:
            reference, _ = references[contender.work]
            worker = stack.enter_context(_worker(contender, setting, reference))
            workers.append(worker)
            error = worker.ask("first")
            suspect = error is not None and not error <= LARGEST_ERROR
            errors.append(error)
            exact.append(_exactly(contender, setting, reference) if suspect else None)
        product = stack.enter_context(
            _worker(Contender("sgemm", case.contenders[0].work), setting, folder / "none")
        )
        seconds, of_products = _turns(workers, product, setting.repeat)
        flops_of_product = product.ask("flops")
        results = []
        for index, contender in enumerate(case.contenders):
            tasks, (_, flops) = contender.work.tasks, references[contender.work]
            results.append(
                Result(
                    name=contender.name,
                    rates=[tasks / each for each in seconds[index]],
                    error=errors[index],
                    exact=exact[index],
                    flops=None if errors[index] is None else flops / tasks,
                    peak=workers[index].ask("peak"),
                )
            )
        return Played(results, [flops_of_product / each for each in of_products])


def _references(case: Case, setting: Setting, folder: Path) -> dict[Work, tuple[Path, float]]:
    """Each different work once, by torch alone in float64: where its outcome lies, and the FLOP of a step."""
    found: dict[Work, tuple[Path, float]] = {}
    for contender in case.contenders:
        work = contender.work
        if work not in found:
            path = folder / f"{len(found)}.pt"
            with _worker(Contender("plain", work), setting, path, double=True) as worker:
                found[work] = path, worker.ask("reference")
    return found


def _exactly(contender: Contender, setting: Setting, reference: Path) -> float:
    with _worker(contender, setting, reference, double=True) as worker:
        error = worker.ask("first")
        assert isinstance(error, float)
        return error


def _turns(workers: list["Worker"], product: "Worker", repeat: int) -> tuple[list[list[float]], list[float]]:
    """Seconds of each worker's turns, and of the matrix product's; a round before them warms up."""
    rounds = [[worker.ask("turn") for worker in [*workers, product]] for _ in range(repeat + 1)]
    *seconds, of_products = (list(turns) for turns in zip(*rounds[1:], strict=True))
    return seconds, of_products


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
