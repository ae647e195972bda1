"""Runs of metacli below runs/reproduce, what their reports say, and the rows of a page that is written again."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

from metacli.runlist import runs_below

ROOT = Path(__file__).resolve().parents[2]
RUNS = ROOT / "runs" / "reproduce"


def metacli(*arguments: str) -> bool:
    """Whether it succeeded. Ctrl-C reaches it, too: it ends its step, and all this can go on."""
    print("$ metacli", " ".join(arguments), flush=True)
    process = subprocess.Popen([sys.executable, "-m", "metacli", *arguments], cwd=ROOT)
    try:
        return process.wait() == 0
    except KeyboardInterrupt:
        process.wait()
        raise SystemExit("stopped; the same command goes on from here") from None


def train(folder: Path, overrides: Sequence[str]) -> bool:
    """As a run in `folder`, or go on with the one that is there."""
    there = runs_below(folder)
    while there and there[-1].status == "running":  # of an earlier call, which was killed and left it behind
        print(f"waiting for {there[-1].folder.path}, which another process works on", flush=True)
        time.sleep(5)
        there = runs_below(folder)
    if there and there[-1].status != "damaged":
        return finished(folder) is not None or metacli("resume", str(there[-1].folder.path))
    return metacli("train", *overrides, f"run.root={folder.parent}", f"run.name={folder.name}")


def finished(folder: Path) -> Path | None:
    """The newest run in `folder` that has a report."""
    done = [run.folder.path for run in runs_below(folder) if run.status == "finished"]
    return done[-1] if done else None


def report_of(run: Path) -> Any:
    return json.loads((run / "report" / "report.json").read_text(encoding="utf-8"))


def manifest_of(run: Path) -> Any:
    return json.loads((run / "manifest.json").read_text(encoding="utf-8"))


def date(run: Path) -> str:
    return str(manifest_of(run)["created"][:10])


def machine(run: Path) -> str:
    manifest = manifest_of(run)
    versions = manifest["versions"]
    return (
        f"{manifest['machine']['cpu']}, {manifest['threads']} threads, {manifest['device']}, "
        f"torch {versions['torch']}, Python {versions['python']}, {date(run)}"
    )


def minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"


def percent(entry: Any) -> str:
    return f"{100 * entry['mean']:.2f} ± {100 * entry['ci95']:.2f}"


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def lines_of(page: Path, heading: str = "") -> list[str]:
    """Of a page, or below one of its headings."""
    lines = page.read_text(encoding="utf-8").splitlines() if page.exists() else []
    if not heading:
        return lines
    below = lines[lines.index(heading) + 1 :] if heading in lines else []
    return list(takewhile(lambda line: not line.startswith("## "), below))


def standing(lines: Sequence[str], beginning: str) -> str:
    """The row that begins so; empty where there is none. The last cell of a row is the day of its run."""
    return next((line for line in lines if line.startswith(f"{beginning} |")), "")


def newer(run: Path | None, line: str) -> Path | None:
    """The run, where the row that stands is not of a later day."""
    return run if run and date(run) >= line.rstrip(" |").rpartition("|")[2].strip() else None


def measured_on(lines: Sequence[str]) -> set[str]:
    """What the page says of that."""
    said = next((line for line in lines if line.startswith("Measured on: ")), "")
    return set(said.removeprefix("Measured on: ").rstrip(".").split("; ")) - {""}
