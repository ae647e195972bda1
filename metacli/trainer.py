"""The outer loop: chunks of tasks, one optimizer step, validation, checkpoints that resume bit for bit.

A stage before meta-training is trained by the same loop, on batches that are one task each; its checkpoints and rows
of the history have its name.
"""

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from metacli.checkpoint import load_state, load_weights, save_state, save_weights
from metacli.console import STEPS, Console, Counting
from metacli.crew import SINGLE, Crew
from metacli.distributed import ALONE, Ranks
from metacli.episode import Episode
from metacli.errors import Interrupted, UserError
from metacli.learner import Learner
from metacli.metrics import METRICS, mean_ci95
from metacli.optim.domain import HELD_BACK, InDomain
from metacli.optim.schedule import Schedule, set_learning_rate
from metacli.parts import Statistics, Versions, as_it_is, commit, moved, part_of, total
from metacli.rundir import RunFolder
from metacli.runtime import generator

_CAUSES = "optimizer.lr or paradigm.inner.lr too high, or no limit on the gradient (trainer.clip=10)"


@dataclass(frozen=True)
class Plan:
    """How long and how carefully to train; the trainer group of the config."""

    steps: int
    meta_batch: int
    chunk: int
    val_every: int
    log_every: int
    patience: int
    clip: float
    lr: float | None  # None: the optimizer has none
    schedule: Schedule
    seed: int
    metric: str  # what `validate` measures, a key of METRICS
    counting: Counting = STEPS
    causes: str = _CAUSES  # usual ones, of a loss that is not finite


@dataclass
class Progress:
    """What changes while training; all of it is in every checkpoint."""

    step: int = 0
    best_step: int = 0
    best: float | None = None  # mean of the metric on the validation episodes
    seconds: float = 0.0
    pending: list[float] = field(default_factory=list)  # losses since the last line of the history
    history: list[dict[str, Any]] = field(default_factory=list)


def saved_progress(run: RunFolder) -> Progress:
    """That of its last checkpoint; none where nothing was trained."""
    return _progress(load_state(run.last), run) if run.last.exists() else Progress()


def _progress(state: Mapping[str, Any], run: RunFolder) -> Progress:
    if set(state["progress"]) != {entry.name for entry in fields(Progress)}:
        raise UserError(
            f"{run.last}: written by another version of metacli, which kept other things",
            f"start anew: metacli rerun {run.path}",
        )
    return Progress(**state["progress"])


class Trainer:
    """Trains `learner` on `episodes(step)`, selects by `validate()` -> the plan's metric of each episode, [E].

    run: its stage is the one that is trained · also: what else a validation measures · earlier: rows of the history
    of the stages before · track: what else is done with a row · ranks: who share it, and all train at once ·
    versions: see `part_of`.
    """

    def __init__(
        self,
        *,
        learner: Learner,
        optimizer: Optimizer,
        episodes: Callable[[int], Episode],
        validate: Callable[[], Any],
        plan: Plan,
        run: RunFolder,
        console: Console,
        also: Callable[[], Mapping[str, float]] = dict,
        earlier: Sequence[Mapping[str, Any]] = (),
        track: Callable[[Mapping[str, Any]], None] = lambda row: None,
        crew: Crew = SINGLE,
        ranks: Ranks = ALONE,
        versions: Versions = as_it_is,
    ) -> None:
        self.learner = learner
        self.optimizer = optimizer
        self.episodes = episodes
        self.validate = validate
        self.plan = plan
        self.run = run
        self.console = console
        self.also = also
        self.earlier = earlier
        self.track = track
        self.crew = crew
        self.ranks = ranks
        self.versions = versions
        self.progress = Progress()

    def resume(self) -> None:
        """Continue from the last checkpoint of the run."""
        self._take(load_state(self.run.last))
        if self.progress.best_step:
            load_weights(self.run.best)  # damaged? Now, rather than when training has ended
        self.run.write_metrics([*self.earlier, *self.progress.history])

    def fit(self) -> Progress:
        """Runs to the last step, or until `patience` validations brought nothing better."""
        if self.ranks.world > 1:
            self._take(self.ranks.from_first(self._state()))
        plan, progress = self.plan, self.progress
        self.learner.train()
        started, before = time.monotonic(), progress.seconds
        losses: list[Tensor] = []  # not looked at yet: looking at each would make a GPU wait
        if progress.step == 0:
            self._calibrate()
        with self.console.training(plan.steps, progress.step, plan.counting) as display, _signals() as asked:
            if progress.step == 0:
                self._save()
            while progress.step < plan.steps and not self._exhausted():
                losses.append(self._step(progress.step))
                progress.step += 1
                progress.seconds = before + time.monotonic() - started
                display.step(progress.step)
                validates = progress.step % plan.val_every == 0 or progress.step == plan.steps
                reports = validates or progress.step % plan.log_every == 0
                stop = self.ranks.highest(asked[0] if asked else 0)
                if reports or stop:
                    progress.pending += self._finite(losses)
                    losses.clear()
                if reports:
                    loss = sum(progress.pending) / len(progress.pending)
                    row = self._place() | {"step": progress.step, "loss": loss}
                    row |= self._at_the_edge()
                    row |= self._validation() if validates else {}
                    display.update(progress.step, row, tasks=len(progress.pending) * plan.meta_batch)
                    progress.history.append(row)
                    progress.pending = []
                    if self.ranks.first:
                        self.run.add_metrics(row)
                        self.track(row)
                if validates and not stop:  # which took its time
                    stop = self.ranks.highest(asked[0] if asked else 0)
                if validates or stop:
                    self._save()
                if stop:
                    raise stopped(stop, self._where(progress.step), self.run.path)
        return progress

    def _step(self, step: int) -> Tensor:
        """One outer step; the mean loss of its tasks."""
        plan = self.plan
        losses, statistics = self._gradient(step)
        if plan.lr is not None:
            set_learning_rate(self.optimizer, plan.lr, plan.schedule, step, plan.steps)
        self.optimizer.step()
        commit(self.learner, statistics)
        return losses.mean()

    def _gradient(self, step: int) -> tuple[Tensor, Statistics]:
        """That of a step is left with the parameters. Losses [T], and the batch statistics of its tasks."""
        plan = self.plan
        episode = self.episodes(step)
        self.learner.begin_step(step, plan.steps, generator(plan.seed, "begin_step", step))
        self.optimizer.zero_grad(set_to_none=True)
        chunks, moving = list(episode.chunks(plan.chunk)), moved(self.learner)
        ours = chunks[self.ranks.rank :: self.ranks.world]
        parts = self.crew.each(
            partial(part_of, tasks=len(episode), versions=self.versions),
            self.learner,
            ours,
            among=len(chunks),
        )
        losses, statistics = total(
            self.ranks.in_order(parts, [len(chunk) for chunk in chunks], moving), moving
        )
        if plan.clip:
            torch.nn.utils.clip_grad_norm_(self.learner.parameters(), plan.clip)
        return losses, statistics

    def _calibrate(self) -> None:
        """What some optimizers have to know of the gradients before they begin; it is in the manifest, too."""
        if isinstance(self.optimizer, InDomain):
            place = ".".join(filter(None, (self.run.stage, "optimizer")))
            found = self.optimizer.calibrate(lambda step: self._gradient(step % self.plan.steps), place)
            known = {f"{place}.{name}": value for name, value in found.items()}
            for key, value in known.items():
                self.console.say(f"{key}: {value:.4g}, found in steps that moved nothing")
            if known and self.ranks.first:
                self.run.update_manifest(calibrated=self.run.manifest().get("calibrated", {}) | known)

    def _at_the_edge(self) -> dict[str, float]:
        """The share of parameters that their optimizer's radius holds back, where it has one."""
        if not isinstance(self.optimizer, InDomain):
            return {}
        share = self.optimizer.held_back()
        if share > HELD_BACK and not any(
            row.get("held_back", 0) > HELD_BACK for row in self.progress.history
        ):
            self.console.say(
                f"{share:.0%} of the parameters are at the edge of their domain: a larger optimizer.radius may help"
            )
        return {"held_back": share}

    def _place(self) -> dict[str, Any]:
        """What the rows of a stage begin with."""
        each = self.plan.counting.each
        return {"stage": self.run.stage, "epoch": self.progress.step // each} if self.run.stage else {}

    def _where(self, step: int) -> str:
        return f"{self.run.stage} step {step}".lstrip()

    def _finite(self, losses: list[Tensor]) -> list[float]:
        """The losses as numbers. Raises UserError at the first that is not finite."""
        values = torch.stack(losses).tolist()
        for place, value in enumerate(values):
            if not math.isfinite(value):
                raise self._diverged(f"the loss became {value}", self.progress.step - len(values) + 1 + place)
        return values

    def _check_weights(self) -> None:
        """Nothing that is not finite becomes a checkpoint."""
        if not all(torch.isfinite(parameter).all() for parameter in self.learner.parameters()):
            raise self._diverged("a weight is no longer finite", self.progress.step)

    def _diverged(self, what: str, step: int) -> UserError:
        causes = self.plan.causes
        if self.plan.lr is None:
            causes = causes.replace("optimizer.lr", "optimizer.radius")
        return UserError(
            f"{what} at {self._where(step)}",
            f"usual causes: {causes}\nthe last good checkpoint is kept: {self.run.last}",
        )

    def _validation(self) -> dict[str, float]:
        self._check_weights()
        progress, metric = self.progress, self.plan.metric
        mean, ci95 = mean_ci95(self.validate())
        sign = 1 if METRICS[metric].higher_is_better else -1
        if progress.best is None or sign * mean > sign * progress.best:
            progress.best, progress.best_step = mean, progress.step
            if self.ranks.first:
                save_weights(self.run.best, self.learner.state_dict())
        return {**self.also(), f"val_{metric}": mean, "val_ci95": ci95}

    def _exhausted(self) -> bool:
        plan, progress = self.plan, self.progress
        return plan.patience > 0 and progress.step - progress.best_step >= plan.patience * plan.val_every

    def _save(self) -> None:
        self._check_weights()
        if self.ranks.first:
            save_state(self.run.last, self._state())

    def _state(self) -> dict[str, Any]:
        return {
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
        }

    def _take(self, state: Mapping[str, Any]) -> None:
        self.progress = _progress(state, self.run)
        self.learner.load_state_dict(state["learner"])
        self.optimizer.load_state_dict(state["optimizer"])


def stopped(number: int, where: str, run: Path) -> Interrupted:
    """By a signal; the state is saved."""
    name = signal.Signals(number).name
    return Interrupted(f"stopped by {name} after {where}\ngo on with: metacli resume {run}", 128 + number)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Signals that ask for a stop are noted, so that the step under way can end; a second one stops at once."""
    asked: list[int] = []

    def note(number: int, _: object) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        os.write(
            2, b"stopping after this step; once more to stop now\n"
        )  # print may be in the middle of a line

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
