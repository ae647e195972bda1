"""Lines of JSON with times: one file a run, or one for many runs, which any tool reads.

A line is {"run": "maml-glyphs/20261124-101500-1a2b3c", "time": "...", "kind": "config" | "row" | "final", ...}.

    metacli sweep seed=0,1,2 tracker=jsonl tracker.jsonl.file=all.jsonl
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from metacli.trackers.tracker import Row, TrackedRun


class Jsonl:
    """file: None for one in the run folder."""

    where: str

    def __init__(self, *, file: str | None) -> None:
        self.file = file

    def start(self, run: TrackedRun, step: int) -> int:
        self.run = run.name
        self.path = Path(self.file) if self.file else run.folder / "tracker.jsonl"
        self.where = str(self.path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = list(self._own())
        if not lines:
            self._write("config", {"config": run.config})
        return max((line["step"] for line in lines if line["kind"] == "row"), default=0)

    def log(self, row: Row) -> None:
        self._write("row", row)

    def finish(self, metrics: Mapping[str, float], report: Path) -> None:
        self._write("final", {**metrics, "report": str(report)})

    def close(self, *, finished: bool) -> None:
        pass

    def _own(self) -> Iterator[dict[str, Any]]:
        """The lines of this run; one that a kill or a full disk cut short is none, and is ended here."""
        if not self.path.exists():
            return
        text = b"\n"
        with self.path.open("rb") as file:
            for text in file:
                if self.run.encode() in text and (line := _parsed(text)).get("run") == self.run:
                    yield line
        if not text.endswith(b"\n"):
            self._append("\n")

    def _write(self, kind: str, values: Mapping[str, Any]) -> None:
        now = datetime.now().astimezone().isoformat(timespec="milliseconds")
        self._append(json.dumps({"run": self.run, "time": now, "kind": kind, **values}) + "\n")

    def _append(self, text: str) -> None:
        """In one piece, so that runs which share the file do not write into each other's lines."""
        with self.path.open("ab", buffering=0) as file:
            file.write(text.encode())


def _parsed(text: bytes) -> dict[str, Any]:
    """Empty where it is no object."""
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}
