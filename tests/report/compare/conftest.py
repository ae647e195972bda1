from collections.abc import Sequence
from pathlib import Path

import pytest

from metacli.files import digest, write_atomic, write_json
from metacli.metrics import METRICS, mean_ci95
from metacli.report.read import sealed
from metacli.rundir import create


@pytest.fixture
def save_run(tmp_path):
    """Writes the folder of a finished run whose episodes had these accuracies; the rest is as given."""

    def save(
        name: str,
        values: Sequence[float],
        *,
        paradigm: str = "maml",
        seed: int = 0,
        bn_mode: str = "running",
        split: str = "test",
        shots: int = 1,
        data: str = "glyphs",
        classes: str = "split 0",
        metric: str = "accuracy",
        steps: int = 600,
        init_from: str | None = None,
        of: Path | None = None,
        episode_hash: str = "",
        transductive_method: bool = False,
    ) -> Path:
        shape = {"ways": 5, "shots": shots, "queries": 15, "count": len(values)}
        episode = {"train": {"ways": 5, "shots": 1, "queries": 5}, "val": shape, "test": shape}
        config = {
            "seed": seed,
            "dataset": {"name": data, "size": 28, "per_class": 20, "seed": 0},
            "episode": episode,
            "backbone": {"name": "conv4"},
            "trainer": {"steps": steps},
            "paradigm": {"name": paradigm, "bn_mode": bn_mode},
            "device": {"name": "cpu"},
            "report": {"split": split},
            "run": {"root": str(tmp_path), "name": name, "init_from": init_from},
        }
        metrics = {metric: values, "loss": [1 - value for value in values]}
        mean_of = {key: mean_ci95(column) for key, column in metrics.items()}
        report = {
            "task": "classify" if metric == "accuracy" else "regress",
            "primary": metric,
            "metrics": {
                key: {"mean": mean, "ci95": ci95, "n": len(values), "unit": METRICS[key].unit}
                for key, (mean, ci95) in mean_of.items()
            }
            | {"macro_f1": {"mean": 0.5, "ci95": None, "n": 75 * len(values), "unit": "fraction"}},
            "protocol": {
                "bn_mode": bn_mode,
                "transductive_method": transductive_method,
                "selection": f"best validation {metric}",
                "class_overlap": 0,
                "split": split,
                "episode": episode,
                "episode_hash": episode_hash or digest(f"{data} {classes} {split} {shape}".encode()),
            },
            "run": {
                "paradigm": paradigm,
                "backbone": "conv4",
                "dataset": data,
                "seed": seed,
                "parameters": 112005,
                "seconds_train": 90.0,
            },
            "result_hash": digest(f"{paradigm} {seed} {list(values)}".encode()),
        }
        manifest = {"data": {"fingerprint": data, "splits": classes}, "result_hash": report["result_hash"]}
        how = {"overrides": [], "choices": {"dataset": data}} | ({"of": str(of)} if of else {})
        made = create(of / "evaluations" if of else tmp_path / "runs" / name, config, how, manifest)
        rows = "".join(f"{number},{value!r}\n" for number, value in enumerate(values))
        write_atomic(made.report / "episodes.csv", episodes := f"episode,{metric}\n{rows}")
        write_json(made.report / "report.json", sealed(report, {"episodes.csv": episodes.encode()}))
        return made.path

    return save
