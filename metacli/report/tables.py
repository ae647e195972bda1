"""The report as plain text and as CSV, and the predictions behind it."""

import csv
import io
import textwrap
from collections.abc import Sequence
from typing import Any

from metacli.letters import printable
from metacli.metrics import METRICS
from metacli.report import wording
from metacli.report.names import columns, right_aligned, shorten
from metacli.report.results import Results

LINE = 80
HEADINGS = ("precision", "recall", "f1-score", "support")
NAME_LIMIT = LINE - 10 * len(HEADINGS)


def text_report(summary: dict[str, Any]) -> str:
    """A row a class as scikit-learn prints it, then what was measured and how; no line exceeds 80 columns."""
    lines = [*_scores(summary["per_class"], summary["averages"]), ""] if summary["per_class"] else []
    if "spans" in summary:
        whole = summary["spans"]
        lines = ["words, by tag", *lines, "entities, by type: right where first and last word and type are"]
        lines += [*_scores(whole["per_class"], whole["averages"]), ""]
    for name, value in facts(summary):
        lines += textwrap.wrap(
            printable(value), LINE, initial_indent=f"{name:<19}", subsequent_indent=" " * 19
        )
    return "\n".join(lines) + "\n"


def _scores(entries: Sequence[dict[str, Any]], means: dict[str, Any]) -> list[str]:
    rows = [(shorten(printable(entry["class"]), NAME_LIMIT), entry) for entry in entries]
    averages = [(f"{name} avg", entry) for name, entry in means.items()]
    width = max(columns(name) for name, _ in rows + averages)
    lines = [" " * width + "".join(f"{heading:>10}" for heading in HEADINGS), ""]
    lines += [_row(name, width, entry) for name, entry in rows]
    lines += [""]
    return lines + [_row(name, width, entry) for name, entry in averages]


def csv_report(summary: dict[str, Any]) -> str:
    """kind (class or average; of entities span or span average), name, precision, recall, f1, support, in full.

    Where there are no classes: metric, mean, ci95, n, unit.
    """
    if not summary["per_class"]:
        parts = ("mean", "ci95", "n", "unit")
        metrics = summary["metrics"].items()
        return _csv([("metric", *parts), *((name, *map(entry.get, parts)) for name, entry in metrics)])
    rows = [("class", entry["class"], entry) for entry in summary["per_class"]]
    rows += [("average", name, entry) for name, entry in summary["averages"].items()]
    if "spans" in summary:
        rows += [("span", entry["class"], entry) for entry in summary["spans"]["per_class"]]
        rows += [("span average", name, entry) for name, entry in summary["spans"]["averages"].items()]
    scores = ("precision", "recall", "f1", "support")
    return _csv(
        [("kind", "name", *scores)] + [(kind, name, *map(entry.get, scores)) for kind, name, entry in rows]
    )


def predictions_csv(results: Results) -> str:
    """A line for each answer of each episode."""
    headings, lines = results.predictions()
    return _csv([headings, *lines])


def episodes_csv(results: Results) -> str:
    """A line for each episode: its own value of every metric that is a mean over episodes; numbers in full."""
    values = results.values()
    rows = zip(*(column.tolist() for column in values.values()), strict=True)
    return _csv([("episode", *values), *((number, *row) for number, row in enumerate(rows))])


def _row(name: str, width: int, entry: dict[str, Any]) -> str:
    scores = "".join(f"{entry[score]:>10.3f}" for score in ("precision", "recall", "f1"))
    return f"{right_aligned(name, width)}{scores}{entry['support']:>10}"


def facts(summary: dict[str, Any]) -> list[tuple[str, str]]:
    protocol, run = summary["protocol"], summary["run"]
    what = wording.over(protocol)
    metrics = [
        (METRICS[name].words, f"{wording.metric(name, entry, '+-')} ({wording.basis(name, entry, what)})")
        for name, entry in summary["metrics"].items()
    ]
    robust = [
        (
            f"robust at {entry['epsilon']:g}",
            f"{wording.metric('accuracy', entry, '+-')} ({wording.basis('accuracy', entry)})",
        )
        for entry in summary.get("robust", [])
    ]
    return [
        *metrics,
        *robust,
        *(
            [("out of scope", wording.out_of_scope(summary["out_of_scope"]))]
            if "out_of_scope" in summary
            else []
        ),
        (what, wording.episodes(protocol["episode"][protocol["split"]])),
        ("split", str(protocol["split"])),
        ("bn_mode", wording.bn_mode(protocol)),
        ("order", wording.order(protocol["order"])),
        ("inner steps", wording.inner_steps(protocol.get("inner_steps"))),
        ("inner loss", wording.inner_loss(protocol.get("inner_loss"))),
        *([("features", wording.features(protocol["features"]))] if protocol.get("features") else []),
        *((f"{name} stage", wording.stage(stage)) for name, stage in protocol.get("stages", {}).items()),
        *([("attack", wording.attack(protocol["attack"]))] if "attack" in protocol else []),
        ("selection", str(protocol["selection"])),
        *([("class overlap", wording.overlap(protocol["class_overlap"]))] if summary["per_class"] else []),
        *([("tested on", str(run["target"]))] if "target" in run else []),
        ("run", f"{run['paradigm']} on {run['dataset']}, backbone {run['backbone']}, seed {run['seed']}"),
        *([("precision", str(run["precision"]))] if run.get("precision", "fp32") != "fp32" else []),
        ("weights", str(run["weights"])),
        ("episode hash", str(protocol["episode_hash"])),
        ("result hash", str(summary["result_hash"])),
    ]


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()
