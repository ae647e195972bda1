"""A comparison as text, Markdown, CSV and a page."""

import csv
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from metacli.letters import printable
from metacli.report.compare.markdown import markdown
from metacli.report.compare.measured import measured
from metacli.report.compare.page import intervals, page
from metacli.report.compare.ranking import compare
from metacli.report.compare.sections import sections
from metacli.report.compare.sheets import pairs_csv, rows_csv
from metacli.report.compare.table import table
from metacli.report.compare.text import text
from metacli.report.names import columns

HOSTILE = "a|b <script>alert(1)</script> 猫 $x_1$ \u202e"


@pytest.fixture
def found(save_run):
    """Three rows in one set, of which one is transductive, and one row in another."""
    values = np.random.default_rng(0).normal(0.6, 0.05, 30)
    runs = [
        measured(save_run("a", (values + 0.2).tolist(), steps=5, bn_mode="with_support_single")),
        measured(save_run("b", values.tolist(), steps=9)),
        measured(save_run("c", (values + 0.3).tolist(), bn_mode="batch", paradigm=HOSTILE)),
        measured(save_run("d", (values + 0.1).tolist(), shots=5)),
    ]
    return sections(compare(runs), lambda run, other: "metacli eval it", over_seeds=False)


def test_the_text_has_every_number_once_and_its_lines_fit_where_they_can(found, tmp_path):
    lines = text(found, 80).splitlines()
    table = "\n".join(lines)
    for section in found:
        for row in section.found.rows:
            mean, ci95 = row.headline
            assert table.count(f"{100 * mean:.2f} ± {100 * ci95:.2f} %") == 1
            assert str(row.first.path) in table
    wide = [line for line in lines if columns(line) > 80]
    assert all(str(tmp_path) in line for line in wide)  # a path is never cut
    assert all(line == line.rstrip() and line.isprintable() for line in lines)
    assert {"trainer.steps=5", "112,005", "1 min 30 s", "with_support_single"} <= set(
        re.split(r"\s{2,}|\n", table)
    )


def test_where_there_is_room_the_table_is_one_block(found):
    assert text(found, 80).count("\n#  ") > text(found, 400).count("\n#  ") == 2


def test_the_rankings_of_a_table_stand_under_their_names(found):
    lines = text(found, 80).splitlines()
    assert lines[3] == "inductive:"
    assert lines[6] == "transductive:"
    assert [lines.count(f"{name}:") for name in ("inductive", "transductive")] == [1, 1]
    assert "batch (transductive)" in text(found, 80)


def test_columns_without_content_are_left_out(save_run):
    run = measured(save_run("a", [0.5, 1.5], metric="mse"))
    run.report["metrics"].pop("macro_f1")
    said = text(sections(compare([run]), lambda *_: "", over_seeds=False), 80)
    assert "1.0000 ± 0.6930" in said
    for heading in ("macro F1", "calibration", "group", "settings", "%"):
        assert heading not in said


def test_the_markdown_is_one_table_a_set_whatever_the_names(found):
    lines = markdown(found).splitlines()
    tables = [line for line in lines if line.startswith("|")]
    assert len(tables) == 2 + 3 + 2 + 1
    bars = [len(re.findall(r"(?<!\\)\|", line)) for line in tables]
    assert len(set(bars[:5])) == 1
    assert len(set(bars[5:])) == 1
    assert "    metacli eval it" in lines


def test_the_csv_has_the_numbers_in_full(found):
    rows = list(csv.DictReader(io.StringIO(rows_csv(found))))
    assert [row["set"] for row in rows] == ["1", "1", "1", "2"]
    assert [row["standing"] for row in rows] == ["inductive", "inductive", "transductive", "inductive"]
    for row, known in zip(rows, [row for section in found for row in section.found.rows], strict=True):
        assert (float(row["mean"]), float(row["ci95"])) == known.headline
        assert row["group"] == {1: "a", 2: "b"}.get(known.number, "")
        assert (row["macro_f1"], row["calibration_error"], row["seconds_train"]) == ("0.5", "", "90.0")
        assert row["episode_hash"] == known.first.report["protocol"]["episode_hash"]


def test_the_csv_of_pairs_has_a_line_a_test(found):
    (row,) = csv.DictReader(io.StringIO(pairs_csv(found)))
    assert (row["first"], row["second"], row["significant"]) == ("1", "2", "1")
    assert float(row["difference"]) == pytest.approx(0.2)
    assert pairs_csv(found[1:]) == "set,first,second,difference,ci95,p,p_holm,significant\n"


class Tags(HTMLParser):
    def __init__(self, content: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(content)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data.strip())


def test_the_page_shows_every_cell_and_refers_to_nothing_outside(found):
    content = page(found)
    parsed = Tags(content)
    assert {tag for tag, _ in parsed.found}.isdisjoint({"script", "link", "iframe", "a"})
    assert not re.search(r"https?:|@import|url\(", content)
    assert "default-src 'none'" in content
    assert f"{printable(HOSTILE)}, conv4" in parsed.words
    for section in found:
        assert section.title in parsed.words
        assert all(note.text in parsed.words for note in section.notes)
        assert {cell for column in table(section.found) for cell in column.cells} <= {*parsed.words}
    assert [attrs["src"][:22] for tag, attrs in parsed.found if tag == "img"] == ["data:image/png;base64,"]
    assert sum(tag == "li" and attrs.get("class") == "loud" for tag, attrs in parsed.found) == 2


def test_the_plot_has_a_dot_of_its_colour_for_each_row(found, tmp_path):
    pixels = np.array(Image.open(io.BytesIO(intervals(found[0].found))).convert("RGB")).astype(int)
    blue, orange = ((abs(pixels - colour).sum(2) < 30).any(1) for colour in ((37, 99, 168), (194, 84, 10)))
    assert np.diff(blue.astype(int)).clip(0).sum() == 2  # bands of lines: a row each
    assert np.diff(orange.astype(int)).clip(0).sum() == 1
    assert np.flatnonzero(orange).min() > np.flatnonzero(blue).max()
