"""Writes the report folder of a run; report.json comes last, so that where it stands the report is complete."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metacli.files import write_atomic, write_json
from metacli.report.figures import figures
from metacli.report.html import html_page
from metacli.report.read import sealed
from metacli.report.results import Results
from metacli.report.tables import csv_report, episodes_csv, predictions_csv, text_report


def write_report(
    folder: Path,
    results: Results,
    summary: dict[str, Any],
    history: Sequence[Mapping[str, Any]],
    config_yaml: str,
    command: str,
) -> None:
    """report.txt .csv .html .json, predictions.csv, episodes.csv, and a .png for each of `figures`.

    summary: of `results`, by `summarise` · history: see `learning_curve`. Raises UserError where the folder can't
    be written.
    """
    if (folder / "report.json").exists():
        (folder / "report.json").unlink()
    images = figures(results, history)
    texts = {
        "report.txt": text_report(summary),
        "report.csv": csv_report(summary),
        "predictions.csv": predictions_csv(results),
        "episodes.csv": episodes_csv(results),
        "report.html": html_page(summary, images, config_yaml, command, results.examples()),
    }
    files = {f"{name}.png": image for name, image in images.items()}
    # A file's name need not be Unicode; what cannot be encoded is shown as \udcXX.
    files |= {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()}
    for name, content in files.items():
        write_atomic(folder / name, content)
    write_json(folder / "report.json", sealed(summary, files))
