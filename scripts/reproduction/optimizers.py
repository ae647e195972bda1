"""docs/results/optimizers.md: MetaGrad and AdaptiveMetaGrad beside Adam and SGD, each as well tuned as the others.

Heads that an optimizer fits to each test task, on features that stay as they are; and the pipeline of
`paradigm=metagrad`, where it trains what the inner loop starts from. Every optimizer has as many trials, on validation
episodes alone; the best of them is asked the test episodes once, in three class splits or with three seeds.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from metacli import build
from metacli.config.compose import composed, values_of
from metacli.config.schema import Config
from metacli.config.validate import validate
from metacli.console import Console
from metacli.experiment import assemble
from metacli.library.runs import train
from metacli.metrics import mean_ci95
from metacli.provenance import machine
from metacli.report.pooling import pooled
from reproduction import runs

PAGE = runs.ROOT / "docs" / "results" / "optimizers.md"
RUNS = runs.RUNS / "optimizers"
SEEDS = (0, 1, 2)
RADII = (0.01, 0.03, 0.1, 0.3, 1.0)
OUTER_RADII = (0.03, 0.1, 0.3, 1.0, 3.0)
# optimizer -> the setting that is tuned, and its trials: of a head, and of the outer loop
GRID: dict[str, tuple[str, Sequence[float], Sequence[float]]] = {
    "adam": ("lr", (0.0003, 0.001, 0.003, 0.01, 0.03), (0.001, 0.003, 0.01, 0.03, 0.1)),
    "sgd": ("lr", (0.01, 0.03, 0.1, 0.3, 1.0), (0.01, 0.03, 0.1, 0.3, 1.0)),
    "metagrad": ("radius", RADII, OUTER_RADII),
    "adaptive_metagrad": ("radius", RADII, OUTER_RADII),
}
CALLED = {
    "plain": "none: nearest class mean, cosine",
    "adam": "Adam",
    "sgd": "SGD",
    "metagrad": "MetaGrad",
    "adaptive_metagrad": "AdaptiveMetaGrad",
}
FITTED = ["paradigm=frozen", "head=probe", "head.steps=30"]

# name -> (what the table calls it, overrides)
HEADS = {
    "photos": (
        "Grocery photos, EfficientNet-lite0, 5-way 5-shot",
        ["experiment=photos/lite0_5w5s", "episode.val.count=100"],
    ),
    "texts": (
        "CLINC150, MiniLM, 20-way 5-shot",
        ["dataset=clinc150", "backbone=minilm", "episode=20w5s", "episode.val.count=200"],
    ),
}
NETWORK = ["backbone=conv4_stride", "backbone.width=32"]
PRETRAINED = ["paradigm=nearest_centroid", *NETWORK, "pretrain=supervised", "pretrain.epochs=4"]
PIPELINE = [
    "paradigm=metagrad",
    *NETWORK,
    "pretrain=none",
    "trainer.steps=400",
    "trainer.meta_batch=4",
    "trainer.val_every=400",
    "episode.val.count=200",
]
ALL = (*HEADS, "pipeline")


@dataclass(frozen=True)
class Outcome:
    """chosen: of each class split, or of all seeds · trials: accuracy on validation of each, a mean over splits · test:
    (mean, ci95) of each seed · measured: on what, and when."""

    chosen: list[float]
    trials: dict[str, float]
    test: list[tuple[float, float]]
    measured: str


def reproduce(wanted: Sequence[str], *, again: bool) -> None:
    """wanted: of ALL; nothing only writes the page."""
    if again:
        shutil.rmtree(RUNS, ignore_errors=True)
    for name in wanted:
        for optimizer in GRID:
            if not _kept(name, optimizer).exists():
                found = _pipeline(optimizer) if name == "pipeline" else _head(name, optimizer)
                _kept(name, optimizer).parent.mkdir(parents=True, exist_ok=True)
                _kept(name, optimizer).write_text(json.dumps(found.__dict__))
                print(name, optimizer, found, flush=True)
        if name in HEADS and not _kept(name, "plain").exists():
            _kept(name, "plain").write_text(json.dumps(_plain(name).__dict__))
    write_page()


def _head(name: str, optimizer: str) -> Outcome:
    """Tuned in each class split by itself: the validation classes of one are test classes of another."""
    key, values, _ = GRID[optimizer]

    def overrides(value: float) -> list[str]:
        chosen = f"optimizer@head.optimizer={optimizer}"
        return [*FITTED, chosen, f"head.optimizer.{key}={value}"]

    ask = _asker(HEADS[name][1])
    trials = {value: [ask(overrides(value), "val", seed)[0] for seed in SEEDS] for value in values}
    best = [max(values, key=lambda value: trials[value][number]) for number in range(len(SEEDS))]
    test = [ask(overrides(value), "test", seed) for value, seed in zip(best, SEEDS, strict=True)]
    means = {str(value): sum(asked) / len(asked) for value, asked in trials.items()}
    return Outcome(best, means, test, _measured())


def _plain(name: str) -> Outcome:
    """The class means that every head begins as: no step."""
    ask = _asker(HEADS[name][1])
    test = [ask(["paradigm=nearest_centroid", "paradigm.distance=cosine"], "test", seed) for seed in SEEDS]
    return Outcome([], {}, test, _measured())


_ASSEMBLED: dict[tuple[str, int], Any] = {}


def _asker(data: Sequence[str]) -> Callable[[list[str], str, int], tuple[float, float]]:
    """Accuracy and its interval on a split, the class split being that of a seed. Data are read once."""

    def ask(overrides: list[str], split: str, seed: int) -> tuple[float, float]:
        config = _config([*data, *overrides, f"dataset.split_seed={seed}", "device.threads=1"])
        if (data[0], seed) not in _ASSEMBLED:
            _ASSEMBLED[data[0], seed] = assemble(config)
        known = _ASSEMBLED[data[0], seed]
        learner = build.build_learner(config, known.data.table, known.device)
        evaluation = replace(known, config=config, learner=learner).evaluate(split, Console(live=False))
        return mean_ci95(evaluation.results.values()["accuracy"])

    return ask


def _config(overrides: Sequence[str]) -> Config:
    return validate(values_of(composed(overrides)[0]))


def _pipeline(optimizer: str) -> Outcome:
    key, _, values = GRID[optimizer]

    def run(value: float, seed: int, split: str) -> tuple[float, float]:
        overrides = [*PIPELINE, f"optimizer={optimizer}", f"optimizer.{key}={value}", f"seed={seed}"]
        start = f"run.init_from={_pretrained(seed)}"
        name = f"{optimizer}-{value}-{seed}-{split}"
        done = runs.finished(RUNS / name)
        if done is None:
            where = [f"run.root={RUNS}", f"run.name={name}", f"report.split={split}", "device.threads=1"]
            done = Path(train(*overrides, start, *where))
        accuracy = runs.report_of(done)["metrics"]["accuracy"]
        return accuracy["mean"], accuracy["ci95"]

    trials = {str(value): run(value, SEEDS[0], "val")[0] for value in values}
    best = max(values, key=lambda value: trials[str(value)])
    test = [run(best, seed, "test") for seed in SEEDS]
    return Outcome([best], trials, test, _measured())


def _pretrained(seed: int) -> Path:
    name = f"pretrained-{seed}"
    where = [f"run.root={RUNS}", f"run.name={name}", f"seed={seed}", "device.threads=1"]
    return runs.finished(RUNS / name) or Path(train(*PRETRAINED, *where))


def _measured() -> str:
    return f"{machine()['cpu']}, 1 thread, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}"


def _kept(name: str, optimizer: str) -> Path:
    return RUNS / "outcomes" / f"{name}-{optimizer}.json"


def write_page() -> None:
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(list(_lines())) + "\n", encoding="utf-8")


def _lines() -> Iterator[str]:
    yield "# MetaGrad beside Adam"
    yield ""
    yield "Written by `scripts/reproduce optimizers`. Every optimizer had as many trials of its rate or radius (the"
    yield "prior is the radius), on validation episodes; the best one was asked the 600 test episodes. Means of three"
    yield "class splits, or of three seeds, with intervals over these and over episodes as"
    yield "[those of sweeps](../sweeps.md#what-the-interval-says). All of a split or seed answer the same episodes."
    measured: set[str] = set(runs.measured_on(runs.lines_of(PAGE)))
    for name, (title, overrides) in HEADS.items():
        yield from _section(f"A head fitted to each task: {title}", name, measured)
        yield from (
            "",
            f"    metacli train {' '.join([*overrides, *FITTED])} optimizer@head.optimizer=OPTIMIZER",
        )
    pipeline = list(_section("The pipeline of paradigm=metagrad: glyphs, 5-way 1-shot", "pipeline", measured))
    if pipeline:
        yield from (*pipeline, "", f"    metacli train {' '.join(PRETRAINED)}")
        yield f"    metacli train {' '.join(PIPELINE)} run.init_from=RUN optimizer=OPTIMIZER"
    yield from ("", f"Measured on: {'; '.join(sorted(measured))}.")


def _section(title: str, name: str, measured: set[str]) -> Iterator[str]:
    """Rows that stand in the page stay where nothing was measured on this machine."""
    before, lines = runs.lines_of(PAGE, f"## {title}"), []
    for optimizer in (*(["plain"] if name in HEADS else []), *GRID):
        if _kept(name, optimizer).exists():
            found = Outcome(**json.loads(_kept(name, optimizer).read_text()))
            measured.add(found.measured)
            lines.append(_line(optimizer, found))
        else:
            lines.append(runs.standing(before, f"| {CALLED[optimizer]}"))
    if not any(lines):
        return
    yield from ("", f"## {title}", "")
    yield runs.row("optimizer", "chosen", "validation, of each trial, %", "test, %", "of each, %")
    yield from ("|---|---|---|---|---|", *filter(None, lines))


def _line(optimizer: str, found: Outcome) -> str:
    both = pooled([mean for mean, _ in found.test], [ci95 for _, ci95 in found.test])
    assert both.mean is not None
    assert both.ci95 is not None
    chosen = ", ".join(f"{value:g}" for value in found.chosen)
    return runs.row(
        CALLED[optimizer],
        f"{GRID[optimizer][0]} {chosen}" if chosen else "",
        " · ".join(f"{value}: {100 * accuracy:.2f}" for value, accuracy in found.trials.items()),
        f"{100 * both.mean:.2f} ± {100 * both.ci95:.2f}",
        " · ".join(f"{100 * mean:.2f}" for mean, _ in found.test),
    )
