"""metacli stream [OVERRIDE ...] [--change NAME]: tasks come one by one, from a distribution that changes.

    metacli stream paradigm=protonet optimizer=adaptive_metagrad --change rotate

Each task is predicted before the method learns from it. --change: invert, rotate or blur all images --after so many
tasks (half of them) of --tasks (1000); --window: tasks over which accuracy is averaged (50). A folder under
run.root/streams tells accuracy, cumulative loss and how many tasks it took to recover: stream.json .csv .png.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from typing import NoReturn

from metacli.commands.job import Job
from metacli.commands.planned import planned
from metacli.config.construct import construct
from metacli.config.registry import component
from metacli.errors import UserError, suggest

CHANGES = ("invert", "rotate", "blur")
_UNREAD = (
    "trainer",
    "episode.val",
    "episode.test",
    "report",
    "tracker",
    "optimizer.schedule",
    "attack.episodes",
    "device.processes",
    "device.workers",
)


def run(arguments: list[str]) -> int:
    asked, overrides = _parser().parse_known_args(arguments)
    after = asked.tasks // 2 if asked.after is None else asked.after
    _check(asked, after)
    plan = planned(overrides)
    if plan.sweeps:
        raise UserError("stream: one at a time, no sweep", "give each setting one value, and leave out -m")
    for job in plan.jobs:  # one, or none for --help and its like
        _check_job(job)
        from metacli import stream  # torch from here on

        stream.write_stream(
            job.config,
            job.root / "streams" / job.config.run.name,
            change=asked.change,
            after=after,
            tasks=asked.tasks,
            window=asked.window,
            overrides=job.overrides,
            notes=[*job.notes, *_without_effect(job.overrides)],
        )
    return 0


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(
            f"stream: {message}",
            "metacli stream [OVERRIDE ...] [--change NAME] [--after N] [--tasks N] [--window N]",
        )


def _parser() -> ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--change", default="invert", metavar="NAME")
    parser.add_argument("--after", type=int, metavar="N")
    parser.add_argument("--tasks", type=int, default=1000, metavar="N")
    parser.add_argument("--window", type=int, default=50, metavar="N")
    return parser


def _check(asked: Namespace, after: int) -> None:
    if asked.change not in CHANGES:
        raise UserError(f"--change {asked.change}: no such change", suggest(asked.change, CHANGES))
    if asked.after is not None and not 0 < after < asked.tasks:
        raise UserError(
            f"--after {after}: the change comes after one of {asked.tasks} tasks (--tasks), and not the last",
            "choose --tasks and --after so, or leave --after out: then it is half of them",
        )
    if not 1 <= asked.window <= min(after, asked.tasks - after):
        raise UserError(
            f"--window {asked.window}: there are {after} tasks before the change and {asked.tasks - after} after it",
            "a window fits into both: choose --tasks, --after and --window so",
        )


def _without_effect(overrides: Sequence[str]) -> Iterator[str]:
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        below = any(f"{key}.".startswith(f"{node}.") for node in _UNREAD)
        if below and key != "trainer.clip":
            yield f"{key} has no effect: a stream is trained on task by task, and not validated or tested"


def _check_job(job: Job) -> None:
    config = job.config
    paradigm = component("paradigm", config.paradigm.name)
    if not paradigm.trains:
        raise UserError(
            f"paradigm={config.paradigm.name}: learns nothing from a stream of tasks",
            "choose one that is meta-trained: paradigm=maml",
        )
    if not config.episode.train.queries:
        raise UserError(
            "episode.train.queries=0: each task of a stream asks some",
            "ask for some: episode.train.queries=5",
        )
    for group, node in (("features", config.features), ("pretrain", config.pretrain)):
        if node.name != "none":
            raise UserError(
                f"{group}={node.name}: comes before meta-training, which a stream takes the place of",
                f"{group}=none, or weights that have it behind them: run.init_from=RUN",
            )
    data = construct("dataset", config.dataset).describe()
    if data.kind != "classify" or len(data.shape) != 3:
        raise UserError(
            f"dataset={config.dataset.name}: has no images to change",
            "choose one of images: metacli list dataset",
        )
