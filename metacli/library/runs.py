"""Train and evaluate from Python: what `metacli train` and `metacli eval` do, by the same code.

run = metacli.train("paradigm=protonet", "trainer.steps=100")
print(run.headline)
metacli.evaluate(run, "episode.test.shots=5")
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from metacli.commands import job
from metacli.commands.eval import evaluation
from metacli.commands.saved import trained_run
from metacli.config.compose import composed, values_of
from metacli.errors import UserError
from metacli.library.session import session
from metacli.metrics import METRICS, shown
from metacli.report import wording
from metacli.report.read import read_report
from metacli.rundir import RunFolder


class Headline(NamedTuple):
    """The number that a run is judged by.

    name: of the metric, "accuracy" where tasks are to classify · mean over n episodes; accuracy goes from 0 to 1;
    None where it is not finite · ci95: half the width of its 95 % interval · over: what it is a mean over, "episodes",
    or "sentences", "items", … where a whole split is asked.
    """

    name: str
    mean: float | None
    ci95: float | None
    n: int
    over: str = "episodes"

    def __str__(self) -> str:
        return (
            f"{METRICS[self.name].words} {shown(self.name, self.mean, self.ci95)} over {self.n} {self.over}"
        )


@dataclass(frozen=True)
class FinishedRun:
    """A run, or an evaluation of one, that has its report. It stands for its folder wherever a path is wanted.

    path: the folder, absolute · report: what its report/report.json holds: task, primary, metrics, per_class,
    averages, protocol, run, result_hash.
    """

    path: Path
    report: dict[str, Any] = field(repr=False, compare=False)

    @property
    def headline(self) -> Headline:
        name = self.report["primary"]
        metric = self.report["metrics"][name]
        return Headline(
            name, metric["mean"], metric["ci95"], metric["n"], wording.over(self.report["protocol"])
        )

    @property
    def text(self) -> str:
        """The report to be read, with a row a class."""
        return (self.path / "report" / "report.txt").read_text(encoding="utf-8")

    def __fspath__(self) -> str:
        return str(self.path)


def train(*overrides: str) -> FinishedRun:
    """Train, evaluate and report: `metacli train` with the same overrides gives the same bits.

    overrides: as on the command line, each a string: "paradigm=maml", "trainer.steps=50", "episode.val.count=20".
    Prints what the command prints. Raises UserError for a mistake, before anything is written wherever that can be
    known. Ctrl-C saves at the end of the step under way and raises KeyboardInterrupt with the command that goes on.
    """
    with session():
        _check(overrides)
        config, choices = composed(overrides)
        planned = job.new_job(values_of(config), list(overrides), choices)
        with _borrowed_torch():
            return _finished(job.train(planned))


def evaluate(run: str | os.PathLike[str], *overrides: str) -> FinishedRun:
    """The best weights of a run on other episodes: what `metacli eval RUN` does with the same overrides.

    The report of its own goes into a folder below that of the run. Raises UserError for a mistake, as where the
    method cannot take what is asked.
    """
    with session():
        _check(overrides)
        trained = trained_run(os.fspath(run), "evaluate the run itself:")
        planned = evaluation(trained, list(overrides))
        with _borrowed_torch():
            return _finished(job.evaluate(trained, planned))


def _check(overrides: Sequence[str]) -> None:
    for text in overrides:
        if not isinstance(text, str):
            raise UserError(
                f"{text!r}: not an override", 'each is a string: "paradigm=maml", "trainer.steps=50"'
            )
        if text.startswith("-"):
            raise UserError(
                f"{text}: a flag of the command line", 'here are only overrides: "trainer.steps=50"'
            )
        if text.lstrip("+~").startswith(("hydra.", "hydra/")):
            raise UserError(
                f"{text}: nothing of Hydra's command line is used here",
                "runs go to run.root=DIR run.name=NAME; options of your own to a folder in $METACLI_CONFIG_PATH",
            )


def _finished(run: RunFolder) -> FinishedRun:
    return FinishedRun(run.path.absolute(), read_report(run.report))


def _borrowed_torch() -> AbstractContextManager[None]:
    from metacli.runtime import borrowed  # torch from here on

    return borrowed()
