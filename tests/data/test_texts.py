import json
import os
import sys
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch

from metacli.data.clinc150 import Clinc150
from metacli.data.financial_phrasebank import FinancialPhraseBank
from metacli.data.sampler import EpisodeShape
from metacli.data.source import Source
from metacli.data.text import TextFiles
from metacli.data.texts import Texts, Tokens
from metacli.data.tokens import sources
from metacli.errors import UserError

REAL = Path(os.environ.get("METACLI_DATA", "data"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("METACLI_CACHE", str(tmp_path / "cache"))


def files(root: Path | str, **changes) -> TextFiles:
    settings = {
        "root": str(root),
        "hub": None,
        "columns_text": "text",
        "columns_label": "label",
        "columns_split": "split",
        "encoding": "utf-8",
        "split_by": "class",
        "split": "seeded",
        "split_sizes": [1, 1, 1],
        "split_seed": 0,
        "min_texts": 1,
    }
    return TextFiles(**(settings | changes))


ROWS = [("where is it", "place"), ("a, b", "list"), ("wo ist ës", "place"), ("now", "time"), ("then", "time")]


class Part(list):
    """Rows of a part of a data set, as the package datasets has them; a class is a number, of which it has the name."""

    features: ClassVar = {
        "text": SimpleNamespace(),
        "label": SimpleNamespace(names=["list", "place", "time"]),
    }


@pytest.fixture
def hub(monkeypatch):
    def load_dataset(name):
        if name != "owner/name":
            raise OSError(f"{name} is not there\nat all")
        numbers = {"place": 1, "list": 0, "time": 2}
        rows = Part({"text": text, "label": numbers[label]} for text, label in ROWS)
        return {
            "train": Part(rows[:3]),
            "validation": Part(rows[3:]),
            "test": Part([rows[0] | {"label": -1}]),
        }

    module = ModuleType("datasets")
    module.load_dataset = load_dataset
    module.__spec__ = ModuleSpec("datasets", None)
    monkeypatch.setitem(sys.modules, "datasets", module)


def test_a_data_set_of_the_hub_is_read_with_the_names_of_its_classes(hub):
    table = files("", hub="owner/name").build()
    assert table.classes == ("list", "place", "time")
    named = [(text, table.classes[label]) for text, label in zip(table.items, table.labels, strict=True)]
    assert named == ROWS
    own = files("", hub="owner/name", split="own").build()
    assert {split: ids.tolist() for split, ids in own.splits.items()} == {
        "train": [0, 1],
        "val": [2],
        "test": [],
    }
    with pytest.raises(UserError) as raised:
        files("", hub="owner/nowhere").build()
    assert str(raised.value).startswith(
        "dataset.hub=owner/nowhere: cannot load it: owner/nowhere is not there\n"
    )


def written(root: Path, form: str) -> Path:
    """`ROWS`, by class."""
    file = root / f"texts{form}"
    if form == "":
        for number, (text, label) in enumerate(ROWS):
            (file / label).mkdir(parents=True, exist_ok=True)
            (file / label / f"{number}.txt").write_text(text + "\n", encoding="utf-8")
    elif form == ".jsonl":
        file.write_text("".join(json.dumps({"label": label, "text": text}) + "\n\n" for text, label in ROWS))
    else:
        separator = {".csv": ",", ".tsv": "\t"}[form]
        quote = '"' if form == ".csv" else ""
        lines = [f"{quote}{text}{quote}{separator}{label}" for text, label in ROWS]
        file.write_text("\n".join([f"text{separator}label", *lines]), encoding="utf-8")
    return file


@pytest.mark.parametrize("form", [".csv", ".tsv", ".jsonl", ""])
def test_texts_of_every_form_are_the_same_texts_of_the_same_classes(form, tmp_path):
    table = files(written(tmp_path, form)).build()
    assert table.classes == ("list", "place", "time")
    found = [(text, table.classes[c]) for text, c in zip(table.items, table.labels, strict=True)]
    assert sorted(found) == sorted(ROWS)
    counts = {
        name: size
        for sizes in files(written(tmp_path, ".csv")).describe().splits.values()
        for name, size in sizes.items()
    }
    assert counts == {"list": 1, "place": 2, "time": 2}


def test_columns_and_the_encoding_are_as_the_user_says(tmp_path):
    file = tmp_path / "tickets.csv"
    file.write_bytes("id,body,topic\n1,où,a\n2,là,b\n3,ici,c\n".encode("latin-1"))
    named = {"columns_text": "body", "columns_label": "topic", "encoding": "latin-1"}
    assert files(file, **named).build().items == ("où", "là", "ici")


MISTAKES = {
    "no label column": ("a.csv", b"text,topic\nx,y\n", "line 2: no column label; there are: text, topic\n.*label=NAME"),
    "empty text": ("a.csv", b"text,label\nx,y\n  ,z\n", "line 3: the text is empty"),
    "empty label": ("a.jsonl", b'{"text": "x", "label": null}\n', "line 1: the label is empty"),
    "not UTF-8": ("a.csv", b"text,label\nx,y\no\xf9,z\n", "line 3 is not utf-8\n.*encoding=latin-1"),
    "a cell too few": ("a.csv", b"text,label\nx\n", "line 2: 2 cells are wanted"),
    "a cell too many": ("a.tsv", b"text\tlabel\nx\ty\tz\n", "line 2: 2 cells are wanted"),
    "a quote left open": ("a.csv", b'text,label\nx,y\n\n"u,v\nw,v\n"s,t\n', 'line 4: the row.*\n.*two for each'),
    "a quote left open to the end": ("a.csv", b'text,label\n"u,v\nw,v\n', "line 2: the row that begins here"),
    "a quoted word": ("a.csv", b'text,label\n"Hi" she said,v\n', "line 2: the row that begins here"),
    "one name of two columns": ("a.csv", b"text,label,text\nx,y,z\n", "line 1: two columns are called text"),
    "a list for a text": ("a.jsonl", b'{"text": ["x"], "label": "y"}\n', r'line 1: \["x"\] is no text'),
    "no JSON": ("a.jsonl", b'{"text": "x", "label": "y"}\nx\n', "line 2: no JSON object"),
    "a list for a label": ("a.jsonl", b'{"text": "x", "label": ["y"]}\n', "is no name of a class"),
    "another form": ("a.xlsx", b"", "neither CSV, TSV nor JSONL"),
    "no rows": ("a.csv", b"text,label\n", "no rows"),
    "one class": ("a.csv", b"text,label\nx,y\n", "1 classes"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_is_no_labelled_text_is_named_by_file_and_line(mistake, tmp_path):
    name, content, told = MISTAKES[mistake]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error:
        files(tmp_path / name).describe()
    assert str(error.value).startswith(f"dataset.root={tmp_path / name}")
    error.match(told)


def test_the_row_that_is_named_is_its_first_line(tmp_path):
    (tmp_path / "a.csv").write_text('text,label\n"a\nb\nc",d,e\n')
    with pytest.raises(UserError, match="line 2: 2 cells are wanted, and there are 3"):
        files(tmp_path / "a.csv").describe()


def test_quotes_in_a_tsv_file_are_letters(tmp_path):
    file = tmp_path / "a.tsv"
    file.write_text('text\tlabel\n"Hi" she said\ta\n"so\tb\n"thus"\tc\n')
    assert files(file).build().items == ('"Hi" she said', '"so', '"thus"')


@pytest.mark.parametrize("encoding", ["utf-8", "utf_8", "U8", "UTF8", "utf-8-sig", "utf-16"])
def test_a_mark_of_the_byte_order_is_no_letter_whatever_its_encoding_is_called(encoding, tmp_path):
    file = tmp_path / "a.csv"
    file.write_bytes("\ufefftext,label\nx,a\ny,b\nz,c\n".encode(encoding.removesuffix("-sig")))
    assert files(file, encoding=encoding).build().items == ("x", "y", "z")


def test_other_mistakes_name_their_key(tmp_path, sentences):
    for changes, told in [
        ({"encoding": "klingon"}, "dataset.encoding=klingon: no such encoding"),
        ({"root": ""}, "dataset.root is not set"),
        ({"root": str(tmp_path / "gone")}, "no such file or folder"),
        ({"root": str(tmp_path)}, "no .txt files in class folders"),
        ({"hub": "owner/name"}, "dataset.root and dataset.hub are both set"),
        ({"split": "own"}, "line 2 is in none of train, val and test"),
        ({"split_by": "item", "split_sizes": [5, 5, 5]}, "no shares of the items"),
        ({"split_by": "item", "split": "list.json"}, "cannot split the texts of a class"),
    ]:
        with pytest.raises(UserError, match=told):
            files(**{"root": sentences} | changes).describe()


@pytest.mark.parametrize("split", ["seeded", "own"])
def test_splits_that_share_classes_have_other_texts_of_them(split, tmp_path):
    file = tmp_path / "texts.csv"
    places = ["train", "train", "train", "dev", "test"]
    rows = [f"{label} {number},{label},{places[number]}" for label in "ab" for number in range(5)]
    file.write_text("\n".join(["text,label,split", *rows]))
    table = files(file, split_by="item", split=split, split_sizes=[0.6, 0.2, 0.2]).build()
    parts = [table.rows(name).tolist() for name in ("train", "val", "test")]
    assert [len(part) for part in parts] == [6, 2, 2]
    assert sorted(row for part in parts for row in part) == list(range(10))
    assert table.class_overlap == 2
    if split == "own":
        assert parts[1:] == [[3, 8], [4, 9]]
        with pytest.raises(UserError, match="class a is in both train and val"):
            files(file, split="own").build()


def test_texts_that_stand_in_two_classes_or_in_two_splits_are_noted(tmp_path):
    file = tmp_path / "texts.csv"
    rows = ["same,a,train", "other,a,test", "same,b,test", "x,b,train", "y,b,train", "same,a,val", "z,b,val"]
    file.write_text("\n".join(["text,label,split", *rows]))
    assert files(file, split_by="item", split="own").build().notes == (
        'texts that stand in two classes: 1, the first "same" in a and b',
        'texts that stand in two splits: 2, the first "same"',
    )


class Letters:
    """A tokenizer whose tokens are letters."""

    max_length = 6
    fingerprint = "letters"
    asked = 0

    def texts(self, texts):
        self.asked += 1
        ids = np.full((len(texts), 6), -1, np.int32)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = [ord(letter) for letter in text[:6]]
        return Tokens(ids, sum(len(text) > 6 for text in texts))


@pytest.fixture
def table(tmp_path) -> Texts:
    rows = [f"{label}{number}x{'y' * (number == 3) * 9},{label}" for label in "abcdef" for number in range(5)]
    (tmp_path / "texts.csv").write_text("\n".join(["text,label", *rows]))
    return files(tmp_path / "texts.csv", split_sizes=[2, 2, 2]).build()


def test_texts_are_tokenised_once_for_each_tokenizer_and_long_ones_are_counted(table):
    letters = Letters()
    first, again = table.tokenised(letters), table.tokenised(letters)
    assert letters.asked == 1
    np.testing.assert_array_equal(first.tokens, again.tokens)
    assert (
        first.notes
        == again.notes
        == ("texts longer than 6 tokens, of which only the beginning is read: 6 of 30 (backbone.max_length)",)
    )
    assert first.shape == (6,)
    letters.fingerprint = "others"
    table.tokenised(letters)
    assert letters.asked == 2
    assert first.fingerprint == table.fingerprint  # a data set is the same, whoever reads it


def test_an_episode_holds_the_tokens_of_the_texts_at_its_rows(table):
    source: Source = sources(table.tokenised(Letters()), torch.device("cpu"))["train"]
    episode = source.episode(source.sampler(EpisodeShape(2, 2, 1)), seed=0, step=0, tasks=3)
    for examples in (episode.support, episode.query):
        for x, row, label, classes in zip(
            examples.inputs["x"], examples.rows, examples.labels, examples.classes, strict=True
        ):
            read = ["".join(chr(i) for i in ids if i >= 0) for ids in x.tolist()]
            assert read == [table.items[r][:6] for r in row.tolist()]
            assert [table.classes[c] for c in classes[label].tolist()] == [text[0] for text in read]


def test_items_of_no_class_are_drawn_for_each_episode_by_its_number(table):
    outside = {"train": np.array([3, 8, 9, 20])}
    source = sources(replace(table, outside=outside).tokenised(Letters()), torch.device("cpu"))["train"]
    together = source.outside(torch.arange(4), 3)
    assert together.rows.shape == (4, 3)
    assert set(together.rows.flatten().tolist()) <= {3, 8, 9, 20}
    assert (together.labels == -1).all()
    torch.testing.assert_close(source.outside(torch.arange(2, 4), 3).rows, together.rows[2:])
    assert source.outside(torch.arange(2), 9).rows.shape == (2, 4)


def clinc(root: Path, **changes) -> Clinc150:
    settings = {"version": "full", "split_by": "item", "split_sizes": [2, 1, 1], "split_seed": 0}
    return Clinc150(root=str(root), **(settings | changes))


def test_clinc150_keeps_queries_of_no_intent_aside(tmp_path):
    intents, places = "abcd", {"train": 3, "val": 1, "test": 2}
    content = {p: [[f"{i} {p} {n}", i] for i in intents for n in range(count)] for p, count in places.items()}
    content |= {f"oos_{p}": [[f"none {p}", "oos"]] for p in places}
    (tmp_path / "data_full.json").write_text(json.dumps(content))
    table = clinc(tmp_path).build()
    assert table.classes == tuple(intents)
    assert {p: len(table.rows(p)) for p in places} == {"train": 12, "val": 4, "test": 8}
    assert [[table.items[row] for row in table.outside[p]] for p in places] == [[f"none {p}"] for p in places]
    by_class = clinc(tmp_path, split_by="class").build()
    assert by_class.class_overlap == 0
    assert [len(by_class.rows(p)) for p in places] == [12, 6, 6]
    assert -1 not in by_class.labels[by_class.rows("train")]
    with pytest.raises(UserError, match="no data_small"):
        clinc(tmp_path, version="small").describe()


@pytest.mark.skipif(not (REAL / "clinc150").is_dir(), reason="METACLI_DATA has no clinc150")
def test_the_published_clinc150_has_its_counts():
    table = clinc(REAL / "clinc150").build()
    assert len(table.classes) == 150
    assert [len(table.rows(split)) for split in table.splits] == [15000, 3000, 4500]
    assert [len(table.outside[split]) for split in table.splits] == [100, 100, 1000]


def test_sentences_of_the_phrasebank_are_in_one_split_each_in_any_encoding(tmp_path):
    lines = [f"Sales rôse {n} % .@{label}" for n, label in enumerate(["positive", "neutral", "negative"] * 5)]
    for name, encoding in {"Sentences_AllAgree.txt": "utf-8", "Sentences_50Agree.txt": "latin-1"}.items():
        (tmp_path / name).write_bytes("\r\n".join([*lines, lines[0]]).encode(encoding))
    tables = [
        FinancialPhraseBank(
            root=str(tmp_path), agreement=agreement, split_sizes=[0.6, 0.2, 0.2], split_seed=0
        ).build()
        for agreement in (100, 50)
    ]
    assert tables[0].items == tables[1].items == tuple(line.partition("@")[0] for line in lines)
    assert [len(tables[0].rows(split)) for split in tables[0].splits] == [9, 3, 3]


@pytest.mark.skipif(not (REAL / "financial_phrasebank").is_dir(), reason="METACLI_DATA has no phrasebank")
def test_the_published_phrasebank_has_its_counts():
    settings = {"root": str(REAL / "financial_phrasebank"), "split_sizes": [0.6, 0.2, 0.2], "split_seed": 0}
    counts = [len(FinancialPhraseBank(agreement=a, **settings).build().items) for a in (50, 100)]
    assert counts == [4840, 2259]  # 4846 and 2264 lines, of which some are the same
