"""Which texts there are, and of which class: from a CSV, TSV or JSONL file, a tree of folders, or the Hugging Face hub.

Nothing here knows of torch.
"""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from metacli.errors import UserError
from metacli.letters import brief

_TABLES = {".csv": ",", ".tsv": "\t"}
_LINES = (".jsonl", ".ndjson")
SPLIT_NAMES = {"train": "train", "test": "test"} | dict.fromkeys(("val", "valid", "validation", "dev"), "val")


class Columns(NamedTuple):
    """What they are called; that of the split may be absent."""

    text: str
    label: str
    split: str


class Line(NamedTuple):
    """One labelled text. split: what its file says; "" where that is none · where: for messages."""

    text: str
    label: str
    split: str
    where: str


def texts_of_file(file: Path, columns: Columns, encoding: str) -> list[Line]:
    """Raises UserError, which names file and line, at what is no labelled text."""
    suffix = file.suffix.lower()
    content = decoded(file, encoding)
    if suffix in _TABLES:
        rows = _table_rows(content, file, _TABLES[suffix])
    elif suffix in _LINES:
        rows = _json_rows(content, file)
    else:
        raise UserError(
            f"dataset.root={file}: neither CSV, TSV nor JSONL, by its name",
            f"known are {' '.join((*_TABLES, *_LINES))}, and a folder with a folder of .txt files for each class",
        )
    found = [_line(row, where, columns) for where, row in rows]
    if not found:
        raise UserError(
            f"dataset.root={file}: no rows", "every line after the first is one text and its label"
        )
    return found


def texts_of_folders(root: Path, encoding: str) -> list[Line]:
    """Every .txt file below `root` is a text; the folder it lies in is its class, below a top folder of a split."""
    found = []
    for path in sorted(root.rglob("*.txt")):
        below = path.relative_to(root)
        *folders, _ = below.parts
        split = SPLIT_NAMES.get(folders[0].lower(), "") if folders else ""
        label = "/".join(folders[1:] if split else folders)
        if not label or any(part.startswith(".") for part in below.parts):
            continue
        found.append(_checked(decoded(path, encoding), label, split, f"dataset.root={root}: {below}"))
    if not found:
        raise UserError(
            f"dataset.root={root}: no .txt files in class folders",
            "put the texts of each class into a folder of their own, a file for each, or give a CSV, TSV or JSONL file",
        )
    return found


def texts_of_hub(name: str, columns: Columns) -> list[Line]:
    """A data set of the Hugging Face hub, or of its local cache, by the package datasets. A row whose label is kept
    back, −1 there, is left out."""
    if find_spec("datasets") is None:
        raise UserError(
            f"dataset.hub={name}: the package datasets is not installed", 'pip install "metacli[datasets]"'
        )
    from datasets import load_dataset

    try:
        parts = load_dataset(name)
    except Exception as error:  # of many kinds, its own and those of the network
        raise UserError(
            f"dataset.hub={name}: cannot load it: {brief(str(error).partition(chr(10))[0])}",
            "check the name and the connection, or give a file: dataset.root=texts.csv",
        ) from error
    found = []
    for part, rows in parts.items():
        names = getattr(rows.features.get(columns.label), "names", None)
        for number, row in enumerate(rows):
            if names and isinstance(row.get(columns.label), int):
                if row[columns.label] < 0:
                    continue
                row = row | {columns.label: names[row[columns.label]]}
            line = _line(row, f"dataset.hub={name}, {part} row {number}", columns)
            found.append(line._replace(split=line.split or SPLIT_NAMES.get(part.lower(), "")))
    return found


def decoded(file: Path, encoding: str) -> str:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise UserError(
            f"dataset.root={file}: cannot read it: {error.strerror}", "check the path and its permissions"
        ) from error
    try:
        return content.decode(encoding).removeprefix("\ufeff")
    except LookupError:
        raise UserError(
            f"dataset.encoding={encoding}: no such encoding", "utf-8, latin-1, cp1252, gb18030, ..."
        ) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"dataset.root={file}: line {line} is not {encoding}",
            "name its encoding: dataset.encoding=latin-1 (or cp1252, utf-16, gb18030, ...), or save it as UTF-8",
        ) from None


def _table_rows(content: str, file: Path, delimiter: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Quotes in a TSV file are letters, as its registered form has it; those of a CSV file must be as they should."""
    quotes = delimiter != "\t"
    reader = csv.reader(
        io.StringIO(content, newline=""),
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quotes else csv.QUOTE_NONE,
        strict=True,
    )
    columns: list[str] = []
    first = 1  # line of a row, which may have several
    try:
        for cells in reader:
            where = f"dataset.root={file}, line {first}"
            first = reader.line_num + 1
            if not cells:
                continue
            if not columns:
                columns = cells
                _check_names(columns, where)
                continue
            if len(cells) != len(columns):
                raise UserError(
                    f"{where}: {len(columns)} cells are wanted, and there are {len(cells)}",
                    'a cell that holds the separator or a line break needs quotes: "like, this"'
                    if quotes
                    else "a cell of a TSV file cannot hold a tab or a line break",
                )
            yield where, dict(zip(columns, cells, strict=True))
    except csv.Error as error:
        raise UserError(
            f"dataset.root={file}, line {first}: the row that begins here cannot be read: {error}",
            "a cell that begins with a quote ends with one, and has two for each within: "
            '"""Hi"" she said"; in a TSV file quotes are letters',
        ) from error


def _check_names(columns: list[str], where: str) -> None:
    if twice := [name for name, count in Counter(columns).items() if count > 1]:
        raise UserError(
            f"{where}: {brief(f'two columns are called {twice[0]}')}", "give each column a name of its own"
        )


def _json_rows(content: str, file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        where = f"dataset.root={file}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise UserError(f"{where}: no JSON object", 'each line is one: {"text": "...", "label": "..."}')
        yield where, row


def _line(row: Mapping[str, Any], where: str, columns: Columns) -> Line:
    for key in ("text", "label"):
        if (name := getattr(columns, key)) not in row:
            raise UserError(
                f"{where}: no column {name}; there are: {brief(', '.join(map(str, row)))}",
                f"say which one holds the {key}: dataset.columns.{key}=NAME",
            )
    split = SPLIT_NAMES.get(str(row.get(columns.split) or "").strip().lower(), "")
    label = row[columns.label]
    if isinstance(label, bool) or not isinstance(label, str | int | None):
        raise UserError(
            f"{where}: {brief(json.dumps(label))} is no name of a class", "give a word or a number"
        )
    return _checked(row[columns.text], "" if label is None else str(label), split, where)


def _checked(text: Any, label: str, split: str, where: str) -> Line:
    if not isinstance(text, str | None):
        raise UserError(
            f"{where}: {brief(json.dumps(text, default=str))} is no text", 'a text is a string: "like this"'
        )
    if not text or not text.strip():
        raise UserError(f"{where}: the text is empty", "remove the line, or give it a text")
    label = " ".join(label.split())
    if not label:
        raise UserError(f"{where}: the label is empty", "remove the line, or give it a label")
    return Line(" ".join(text.split()), label, split, where)


def existing(root: str) -> Path:
    """A file or folder. Raises UserError where there is none."""
    path = Path(root)
    if not os.path.exists(path):
        raise UserError(
            f"dataset.root={root}: no such file or folder",
            "give a CSV, TSV or JSONL file, or a folder with a folder of .txt files for each class",
        )
    return path
