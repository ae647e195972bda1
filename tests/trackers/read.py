"""Reads back what a tracker keeps of a run, with the tracker's own means.

    python read.py TRACKER FOLDER

Prints {"points": {name: [[step, value], ...]}, "config": {key: text}, "shown": [plots and pages], "state": text}.
"""

import json
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

BLOCK = 32768  # of a file of wandb's, which has the form of LevelDB's log
HEADER = 7


def jsonl(folder: Path) -> dict[str, Any]:
    lines = [json.loads(text) for text in (folder / "tracker.jsonl").read_text().splitlines()]
    found = _empty()
    for line in lines:
        if line["kind"] == "config":
            found["config"] |= _texts(line["config"])
        else:
            values = {k: v for k, v in line.items() if k not in ("run", "time", "kind", "step", "report")}
            for key, value in values.items():
                found["points"].setdefault(key, []).append([line.get("step"), value])
    return found


def tensorboard(folder: Path) -> dict[str, Any]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    found = _empty()
    for tag in events.Tags()["scalars"]:
        found["points"][tag] = [[event.step, event.value] for event in events.Scalars(tag)]
    found["shown"] = events.Tags()["images"]
    with suppress(KeyError):  # the run is not finished
        content = events.PluginTagToContent("hparams")["_hparams_/session_start_info"]
        data = plugin_data_pb2.HParamsPluginData.FromString(content)
        values = data.session_start_info.hparams
        found["config"] = {
            key: str(getattr(value, value.WhichOneof("kind"))) for key, value in values.items()
        }
    return found


def wandb(folder: Path) -> dict[str, Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    found = _empty()
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    for content in _records(path.read_bytes()):
        record = Record.FromString(content)
        if record.HasField("run"):
            assert record.run.run_id == folder.name
            found["config"] |= {item.key: item.value_json for item in record.run.config.update}
        if record.HasField("history"):
            # pictures and pages have keys of several parts
            parts = {tuple(item.nested_key): json.loads(item.value_json) for item in record.history.item}
            row = {key[0]: value for key, value in parts.items() if len(key) == 1}
            step = row["_step"]
            for key, value in row.items():
                if not key.startswith("_"):
                    found["points"].setdefault(key, []).append([step, value])
        for item in record.summary.update:
            key = item.key or item.nested_key[0]
            if key.startswith("test_"):
                found["points"][key] = [[None, json.loads(item.value_json)]]
        if record.HasField("exit"):
            found["state"] = str(record.exit.exit_code)
    media = path.parent.glob("files/media/*/*")
    found["shown"] = sorted(media_file.name.split("_")[0] for media_file in media)
    return found


def mlflow(folder: Path) -> dict[str, Any]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlflow/mlflow.db")
    experiment = client.get_experiment_by_name("metacli")
    (run,) = client.search_runs([experiment.experiment_id])
    found = _empty()
    for key in run.data.metrics:
        history = client.get_metric_history(run.info.run_id, key)
        found["points"][key] = [[point.step, point.value] for point in history]
    found["config"] = run.data.params
    found["shown"] = [Path(file.path).stem for file in client.list_artifacts(run.info.run_id, "report")]
    found["state"] = run.info.status
    return found


def _empty() -> dict[str, Any]:
    return {"points": {}, "config": {}, "shown": [], "state": ""}


def _texts(values: dict[str, Any], prefix: str = "") -> dict[str, str]:
    texts: dict[str, str] = {}
    for key, value in values.items():
        texts |= _texts(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: str(value)}
    return texts


def _records(content: bytes) -> Iterator[bytes]:
    place, record = HEADER, b""
    while place + HEADER <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        record += content[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of the libraries among themselves
    print(json.dumps(globals()[sys.argv[1]](Path(sys.argv[2]))))
