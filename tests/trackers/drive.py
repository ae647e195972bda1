"""Logs a run with one tracker, as the trainer does, in a process that may be killed.

    python drive.py '{"tracker": "jsonl", "settings": {...}, "folder": "runs/a/1", "history": [...], "rows": [...],
                      "end": "finish" | "stop" | "kill"}'

What the user was told is printed. A folder without report has made one of a single plot and page.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from metacli.config.registry import component, load
from metacli.trackers.tracker import TrackedRun
from metacli.trackers.tracking import Tracking

CONFIG = {"seed": 3, "run": {"name": "maml-glyphs"}, "paradigm": {"moves": ["head"], "lr": 0.5}, "none": None}
METRICS = {"accuracy": {"mean": 0.75, "ci95": 0.01}, "macro_f1": {"mean": 0.5, "ci95": None}}


def main(task: dict) -> None:
    folder, name = Path(task["folder"]), task["tracker"]
    tracker = load(component("tracker", name).target)(**task["settings"])
    with suppress(InterruptedError), Tracking({name: tracker}, print) as tracking:
        tracking.start(TrackedRun(folder, CONFIG), task["history"])
        for row in task["rows"]:
            tracking.log(row)
        if task["end"] == "kill":
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGKILL)
        if task["end"] == "stop":
            raise InterruptedError
        tracking.finish(_report(folder / "report"))


def _report(folder: Path) -> Path:
    from PIL import Image

    folder.mkdir(exist_ok=True)
    Image.new("RGB", (30, 20), "red").save(folder / "confusion.png")
    (folder / "report.html").write_text("<h1>report</h1>", encoding="utf-8")
    summary = {"protocol": {"split": "test"}, "metrics": METRICS}
    (folder / "report.json").write_text(json.dumps(summary), encoding="utf-8")
    return folder


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
