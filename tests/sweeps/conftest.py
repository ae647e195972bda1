"""A sweep whose runs only have reports, made of numbers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from metacli.report.read import sealed
from metacli.sweeps.folder import SweepFolder, create


@pytest.fixture
def make_sweep(tmp_path) -> Callable[..., SweepFolder]:
    """`jobs`: (own overrides, config) of each. Every one has trainer.steps=9 beside."""

    def make(*jobs: tuple[list[str], dict]) -> SweepFolder:
        planned = [
            {
                "overrides": ["trainer.steps=9", *own],
                "choices": {},
                "config": {"seed": 0, "run": {"name": "maml-glyphs", "init_from": None}} | config,
            }
            for own, config in jobs
        ]
        return create(tmp_path, "", planned, None)

    return make


@pytest.fixture
def finish() -> Callable[..., Path]:
    """Give a job a run with a report; the folder of the run."""

    def write(
        job, mean, ci95, *, metric="accuracy", unit="fraction", episode_hash="same", bn_mode="batch", name="1"
    ) -> Path:
        run = job.path / name
        (run / "report").mkdir(parents=True)
        (run / "manifest.json").write_text("{}")
        report = {
            "primary": metric,
            "metrics": {metric: {"mean": mean, "ci95": ci95, "n": 600, "unit": unit}},
            "protocol": {"episode_hash": episode_hash, "bn_mode": bn_mode},
            "result_hash": "0",
        }
        (run / "report" / "report.json").write_text(json.dumps(sealed(report, {})))
        return run

    return write
