"""A finished run as it is compared with others: its report, its headline value on each episode, and its origins."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from metacli.errors import UserError
from metacli.metrics import METRICS
from metacli.report.read import episode_values, read_report
from metacli.report.wording import BN_MODES
from metacli.rundir import RunFolder, open_run

SEEN = "test classes seen in training"
# Parts of a config that have no bearing on what is learnt, or are told elsewhere.
NO_BEARING = ("seed", "device", "run", "report", "tracker")


@dataclass(frozen=True, eq=False)
class Measured:
    """training: the run itself, or the one that it evaluates · report: see `summarise` · values [E] of the headline
    metric · seconds: how long that trained, None where its report is gone · config, trained: of `path` and of
    `training` · data: manifest["data"] · origins: the same of each training that the weights went through, None where
    that run is gone."""

    path: Path
    training: Path
    report: dict[str, Any]
    values: np.ndarray
    seconds: float | None
    config: dict[str, Any]
    trained: dict[str, Any]
    data: dict[str, Any]
    origins: tuple[dict[str, Any] | None, ...]

    @property
    def primary(self) -> str:
        return self.report["primary"]

    @property
    def method(self) -> tuple[str, str]:
        """Paradigm and backbone."""
        return self.report["run"]["paradigm"], self.report["run"]["backbone"]

    @property
    def seed(self) -> int:
        return self.report["run"]["seed"]

    @property
    def split(self) -> str:
        return self.report["protocol"]["split"]

    @property
    def episode(self) -> dict[str, Any]:
        """Shape and number of the episodes."""
        return self.report["protocol"]["episode"][self.split]

    @property
    def dataset(self) -> dict[str, Any]:
        """Dotted key -> value of all that decides which items there are; augmentation is for training alone."""
        settings = flat(self.config["dataset"])
        return {key: value for key, value in settings.items() if not key.startswith("augment.")}

    @property
    def has_training(self) -> bool:
        selection = self.report["protocol"]["selection"]
        return not selection.startswith("none") or self.config["run"]["init_from"] is not None

    @property
    def questions(self) -> tuple[Any, ...]:
        """What runs must have in common to be compared."""
        episode_hash = self.report["protocol"]["episode_hash"]
        return self.report["task"], self.primary, self.split, episode_hash, len(self.values)

    @property
    def standing(self) -> str:
        """What comparable runs must have in common to be ranked: "inductive" or "transductive", or both are SEEN."""
        same_data = [
            data for data in self.origins if data and data["fingerprint"] == self.data["fingerprint"]
        ]
        if any(data["splits"] != self.data["splits"] for data in same_data):
            return SEEN
        mode = self.report["protocol"]["bn_mode"]
        return "transductive" if self.by_method else BN_MODES.get(mode, mode).partition(":")[0]

    @property
    def by_method(self) -> bool:
        """Transductive, whatever bn_mode."""
        return bool(self.report["protocol"].get("transductive_method"))

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Dotted key -> value of all that makes a method, its seed apart. "trained KEY": where that was another."""
        now, then = _settings(self.config), _settings(self.trained)
        return now | {f"trained {key}": value for key, value in then.items() if now.get(key) != value}


def measured(path: Path) -> Measured:
    """Raises UserError where the folder is no run, is not finished, or holds a file that was truncated or altered."""
    run = open_run(path)
    above = path if len(path.parts) > 2 else path.absolute()
    training = open_run(above.parent.parent) if run.evaluates else run
    if run.worked_on and not run.finished:
        raise UserError(f"{path}: still running", f"wait for its report: metacli show {path}")
    if not run.finished and run.failure:
        raise UserError(f"{path}: failed: {run.failure}", f"its log says more: metacli show {path}")
    if not run.finished:
        command = "eval" if run.evaluates else "resume"
        raise UserError(f"{path}: not finished", f"it has no report yet: metacli {command} {training.path}")
    report, manifest = read_report(run.report), run.manifest()
    if report["result_hash"] != manifest.get("result_hash"):
        raise UserError(f"{run.report}: the report of another run", "restore the folder as it was written")
    if report["primary"] not in METRICS:
        raise UserError(
            f"{path}: its metric {report['primary']} is not known here", "use the metacli that wrote it"
        )
    values = episode_values(run.report, report)
    if not np.isfinite(values).all():
        raise UserError(f"{path}: its {report['primary']} is not a finite number", "leave it out")
    return Measured(
        path=path,
        training=training.path,
        report=report,
        values=values,
        seconds=report["run"]["seconds_train"] if training is run else _seconds(training),
        config=run.config(),
        trained=training.config(),
        data=manifest["data"],
        origins=tuple(_origins(training)),
    )


def flat(values: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested keys as dotted ones."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return found


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in config.items() if key not in NO_BEARING}
    kept["episode"] = {split: shape for split, shape in config["episode"].items() if split != "test"}
    precision = config["device"].get("precision", "fp32")  # runs of before were all computed so
    return flat(kept) | {"run.init_from": config["run"]["init_from"], "device.precision": precision}


def _seconds(run: RunFolder) -> float | None:
    try:
        return read_report(run.report)["run"]["seconds_train"]
    except UserError:
        return None


def _origins(run: RunFolder) -> list[dict[str, Any] | None]:
    """Of the run, and of those that it started from."""
    start = run.config()["run"]["init_from"]
    try:
        before = _origins(open_run(start)) if start else []
    except UserError:
        before = [None]
    return [run.manifest()["data"], *before]
