"""metacli show RUN [--report]: one run on one screen. --report: its text report instead, which has a row a class."""

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from metacli.errors import UserError
from metacli.files import last_lines, user_path
from metacli.letters import brief, printable
from metacli.report import wording
from metacli.report.read import read_file, read_report
from metacli.report.tables import LINE, facts
from metacli.rundir import RunFolder, open_run
from metacli.runlist import Run, is_run, read_run, runs_below

Rows = Iterable[tuple[str, str]]  # what it is, and its value

_LABEL = " " * 19  # as wide as in the text report
_LOG = 5


def run(arguments: list[str]) -> int:
    folder, report_only = _asked(arguments)
    if report_only:
        print(_text_report(folder), end="")
        return 0
    found = read_run(folder)
    parts = (_about(found), _outcome(found), _evaluations(folder), _files(folder.path), _ways_on(found))
    texts = ["\n".join(_laid_out(rows)) for rows in parts]
    if found.status != "finished":
        texts.append("\n".join(map(printable, last_lines(folder.path / "log.txt", _LOG))))
    print("\n\n".join(filter(None, texts)))
    return 0


def _asked(arguments: Sequence[str]) -> tuple[RunFolder, bool]:
    paths = [text for text in arguments if text != "--report"]
    usage = "metacli show runs/NAME/ID [--report]; metacli runs lists them"
    flags = [text for text in paths if text.startswith("-")]
    if flags:
        raise UserError(f"{brief(flags[0])}: no such flag", usage)
    if len(paths) != 1:
        raise UserError(f"show: {'one run at a time' if paths else 'which run?'}", usage)
    path = user_path(paths[0])
    if not is_run(path) and (below := runs_below(path)):
        raise UserError(f"{path}: not a run, but a folder of {len(below)}", f"metacli runs {path}")
    return open_run(path), len(paths) < len(arguments)


def _text_report(folder: RunFolder) -> str:
    if not folder.finished:
        raise UserError(f"{folder.path}: no report yet", f"metacli show {folder.path}")
    return read_file(folder.report, "report.txt", read_report(folder.report)).decode()


def _about(run: Run) -> Rows:
    folder, manifest = run.folder, run.folder.manifest()
    yield "evaluation" if folder.evaluates else "run", str(folder.path)
    yield (
        "status",
        run.status + (f", {run.far}" if run.far else "") + (run.reason and f": {run.reason}"),
    )
    yield "what", run.title
    yield "made", f"{run.created.astimezone():%Y-%m-%d %H:%M:%S}, {run.age} ago"
    made_by = ("eval", folder.evaluates) if folder.evaluates else ("train",)
    yield "by", shlex.join(["metacli", *made_by, *folder.overrides()])
    versions = ", ".join(f"{name} {manifest['versions'][name]}" for name in ("metacli", "torch"))
    yield "on", f"{manifest['device']}, threads: {manifest['threads']}, {versions}"


def _outcome(run: Run) -> Rows:
    if run.status != "finished":
        return
    try:
        report = read_report(run.folder.report)
    except UserError as error:
        yield "report", "; ".join(str(error).splitlines())
        return
    seconds = report["run"]
    whole = wording.duration(seconds["seconds_total"])
    yield "time", f"{whole}, of which training {wording.duration(seconds['seconds_train'])}"
    yield from (row for row in facts(report) if row[0] != "run" and row != ("weights", "of this run"))
    for name in report["files"]:
        try:
            read_file(run.folder.report, name, report)
        except UserError as error:
            yield "report", "; ".join(str(error).splitlines())


def _evaluations(folder: RunFolder) -> Rows:
    for found in runs_below(folder.path / "evaluations"):
        how = shlex.join(found.folder.overrides())
        yield "evaluation", f"{how or 'as trained'}: {found.result or found.status}, {found.folder.path.name}"


def _files(path: Path) -> Rows:
    for folder in (path, path / "checkpoints", path / "report"):
        names = sorted(file.name for file in folder.glob("[!.]*") if file.is_file())
        if names:
            yield "files" if folder == path else f"{folder.name}/", " ".join(names)


def _ways_on(run: Run) -> Rows:
    path = shlex.quote(str(run.folder.path))
    if run.folder.evaluates:
        return
    if run.status == "running":
        yield "follow", f"tail -f {path}/log.txt"
    if run.status in ("interrupted", "failed"):
        yield "go on", f"metacli resume {path}"
    if run.status == "failed":
        yield "otherwise", f"metacli rerun {path} KEY=VALUE ..."
    if run.status == "finished":
        yield "again", f"metacli rerun {path}"
        yield "other episodes", f"metacli eval {path} episode.test.shots=5"
        yield "a row a class", f"metacli show {path} --report"


def _laid_out(rows: Rows) -> Iterator[str]:
    """A label is said once; a command stays on one line, to be copied."""
    before = ""
    for label, value in rows:
        said = ("" if label == before else label).ljust(len(_LABEL))
        before = label
        if value.startswith("metacli "):
            yield said + printable(value)
        else:
            yield from textwrap.wrap(
                printable(value),
                LINE,
                initial_indent=said,
                subsequent_indent=_LABEL,
                break_long_words=False,
                break_on_hyphens=False,
            )
