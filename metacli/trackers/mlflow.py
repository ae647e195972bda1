"""MLflow.

A run is in a database of its own, in one that runs share, or on a server.

    metacli sweep seed=0,1,2 tracker=mlflow tracker.mlflow.uri=sqlite:///mlflow.db
    mlflow ui --backend-store-uri sqlite:///mlflow.db
"""

import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from metacli.trackers.tracker import Row, TrackedRun, leaves, numbers

TAG = "metacli_run"  # by which a run is found when it goes on
SQLITE = "sqlite:///"
DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # to its makers
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",  # what it raises is said in a line
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",  # else a server that is away holds a run up for minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class MLflow:
    """uri: None for a database in the run folder."""

    where: str

    def __init__(self, *, uri: str | None, experiment: str) -> None:
        self.uri = uri
        self.experiment = experiment

    def start(self, run: TrackedRun, step: int) -> int:
        for name, value in DEFAULTS.items():
            os.environ.setdefault(name, value)
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        uri = self.where = self.uri or f"{SQLITE}{run.folder}/mlflow/mlflow.db"
        with _alone(Path(uri.removeprefix(SQLITE))) if uri.startswith(SQLITE) else nullcontext():
            self.client = MlflowClient(tracking_uri=uri)
        self.step = step
        experiment = self._experiment(uri)
        found = self.client.search_runs([experiment], f"tags.{TAG} = '{run.name}'")
        if found:
            self.id = found[0].info.run_id
            self.client.update_run(self.id, status="RUNNING")
            return self._held()
        self.id = self.client.create_run(experiment, tags={TAG: run.name}, run_name=run.name).info.run_id
        settings = [Param(key, str(value)) for key, value in leaves(run.config)]
        self.client.log_batch(self.id, params=settings)
        return 0

    def log(self, row: Row) -> None:
        from mlflow.entities import Metric

        self.step, now = row["step"], int(1000 * time.time())
        metrics = [Metric(key, value, now, self.step) for key, value in numbers(row).items()]
        self.client.log_batch(self.id, metrics=metrics)

    def finish(self, metrics: Mapping[str, float], report: Path) -> None:
        self.log({"step": self.step, **metrics})
        self.client.log_artifacts(self.id, str(report), "report")

    def close(self, *, finished: bool) -> None:
        self.client.set_terminated(self.id, "FINISHED" if finished else "KILLED")

    def _experiment(self, uri: str) -> str:
        """Its id. Several runs may want to make it at the same moment."""
        from mlflow.exceptions import MlflowException

        found: Any = self.client.get_experiment_by_name(self.experiment)
        if found is None:
            local = uri.startswith(SQLITE)  # a server knows where its artifacts go
            folder = Path(uri.removeprefix(SQLITE)).absolute().parent / "artifacts"
            with suppress(MlflowException):
                self.client.create_experiment(self.experiment, folder.as_uri() if local else None)
            found = self.client.get_experiment_by_name(self.experiment)
        return str(found.experiment_id)

    def _held(self) -> int:
        keys = self.client.get_run(self.id).data.metrics
        points = [point.step for key in keys for point in self.client.get_metric_history(self.id, key)]
        return max(points, default=0)


@contextmanager
def _alone(database: Path) -> Iterator[None]:
    """One process at a time: MLflow makes the tables of a new database without looking who else does."""
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
