"""Tagged sentences: splits by file, sentence or type, and the episodes that are drawn from them."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from metacli.data.conll import Conll
from metacli.data.sampler import EpisodeShape
from metacli.data.tag_episodes import TagSource
from metacli.data.tagged import tag_name
from metacli.errors import UserError
from metacli.files import digest
from metacli.layers.words import word_states

DATA = Path(os.environ.get("METACLI_DATA", "no folder"))
USUAL = {
    "train": ["train.txt"],
    "val": [],
    "test": [],
    "separator": "whitespace",
    "word": 0,
    "tag": -1,
    "comment": "",
    "scheme": "bio2",
    "encoding": "utf-8",
    "tags": "io",
    "foreign": "drop",
    "split_by": "item",
    "unseen": False,
    "split": "seeded",
    "split_sizes": [0.5, 0.2, 0.3],
    "split_seed": 0,
    "limit_train": 0,
    "limit_val": 0,
    "limit_test": 0,
}


def text(seed=0, sentences=300, types="abcdef") -> str:
    """Each sentence has one to three entities, of one or two types."""
    random = np.random.default_rng(seed)
    lines = []
    for number in range(sentences):
        own = random.choice(list(types), random.integers(1, 3), replace=False)
        for _ in range(random.integers(1, 4)):
            kind = random.choice(own)
            lines += [f"w{number} O"] * int(random.integers(0, 3))
            lines += [f"{kind}0 B-{kind}"] + [f"{kind}1 I-{kind}"] * int(random.integers(0, 2))
        lines.append("")
    return "\n".join(lines)


@pytest.fixture
def make(tmp_path):
    def make(files=None, **options):
        for name, content in (files or {"train.txt": text()}).items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(content)
        return Conll(root=str(tmp_path), **USUAL | options)

    return make


class Letters:
    """A token a letter, between two special ones; "é" is none. What lies beyond `max_length` is cut off."""

    def __init__(self, max_length):
        self.max_length = max_length

    def words(self, sentences):
        ids = np.full((len(sentences), self.max_length), -1)
        places = ids.copy()
        for row, words in enumerate(sentences):
            letters = [(ord(x), place) for place, word in enumerate(words) for x in word if x != "é"]
            kept = [(1, -1), *letters[: self.max_length - 2], (2, -1)]
            ids[row, : len(kept)], places[row, : len(kept)] = np.array(kept).T
        return ids, places


def source_of(table, split="train", max_length=40):
    return TagSource(table=table.tokenised(Letters(max_length)), split=split, device=torch.device("cpu"))


class Codes(torch.nn.Module):
    """The state of a token is its number, and how many tokens its piece has."""

    @property
    def network(self):
        return self

    def states(self, ids):
        assert (ids >= 0).any(1).all()  # no piece of padding alone
        length = (ids >= 0).sum(1, keepdim=True).expand_as(ids)
        return torch.stack([ids, length], -1).double()


def test_long_sentences_are_read_in_pieces_and_no_word_is_lost(make):
    sentence = [f"{'abcdefghij'[n]}{'x' * n}" for n in range(10)]  # of 1 to 10 letters
    lines = [f"{word} {'B-a' if n % 3 else 'O'}" for n, word in enumerate(sentence)]
    short = ["é O", "k B-a", "", "l B-a", "é O", ""]
    files = {
        "train.txt": "\n".join(
            [*lines, "", *short, "m B-a\n\nn B-a\n\no B-a\n\np B-a\n\nq B-a\n\nr B-a\n\ns B-a"]
        )
    }
    table = make(files).build().tokenised(Letters(9))
    assert table.notes == (
        "sentences read in pieces of 9 tokens: 1",
        "words without a token, which are taken for O: 2",
    )
    whole = replace(table, splits=dict.fromkeys(table.splits, np.array([0])), rows={"train": np.arange(10)})
    source = TagSource(table=whole, split="train", device=torch.device("cpu"))
    rows = [np.array([1, 0]), np.array([2])]
    examples = source._examples(rows, torch.zeros(2, 1, dtype=torch.int64))
    assert examples.labels[0, 1].tolist() == [0, 1, 1, 0, 1, 1, 0, 1, 1, 0]
    assert examples.mask[0, 1].all()
    assert examples.mask[0, 0].tolist() == [False, True] + [False] * 8
    states = word_states(Codes(), examples.inputs)
    assert states[0, 1, :, 0].tolist() == [ord(word[0]) for word in sentence]
    assert states[1, 0, :2].tolist() == [[ord("l"), 3], [0, 0]]
    assert states[0, 1, :, 1].max() == 9
    kept = source.with_states(source.states_of(lambda inputs: word_states(Codes(), inputs)))
    again = kept._examples(rows, examples.classes)
    assert torch.equal(again.mask, examples.mask)
    assert torch.equal(word_states(Codes(), again.inputs), states)


def test_chinese_characters_are_words(make):
    table = make({"train.txt": "李 B-人\n明 I-人\n在 O\n北 B-地\n京 I-地\n。 O\n\n" * 5}).build()
    assert table.classes == ("人", "地")
    assert table.words[0] == tuple("李明在北京。")
    assert table.mentions[0].tolist() == [1, 1]
    source = source_of(table, max_length=5)  # three characters a piece
    episode = source.episode(source.sampler(EpisodeShape(2, 1, 1)), seed=0, step=0, tasks=1)
    states = word_states(Codes(), episode.query.inputs)
    assert "".join(chr(int(code)) for code in states[0, 0, :, 0]) == "李明在北京。"
    assert sorted(set(episode.query.labels.flatten().tolist())) == [0, 1, 2]


def test_without_other_files_the_sentences_are_split(make):
    table = make().build()
    assert {split: len(rows) for split, rows in table.rows.items()} == {"train": 150, "val": 60, "test": 90}
    assert sorted(np.concatenate(list(table.rows.values()))) == list(range(300))
    assert all(len(ids) == 6 for ids in table.splits.values())
    assert table.class_overlap == 6


def test_a_limit_is_a_sample_that_no_other_split_changes(make):
    whole, cut = make().build(), make(limit_test=30).build()
    assert {split: len(rows) for split, rows in cut.rows.items()} == {"train": 150, "val": 60, "test": 30}
    assert set(cut.rows["test"]) < set(whole.rows["test"])
    assert cut.rows["test"].tolist() != whole.rows["test"][:30].tolist()
    again = make(limit_test=30, limit_train=9, limit_val=500).build()
    assert np.array_equal(again.rows["test"], cut.rows["test"])
    assert np.array_equal(again.rows["val"], whole.rows["val"])
    named = make({"train.txt": text(), "other.txt": text(7)}, test=["other.txt"], limit_test=9).build()
    assert np.all(named.mentions[named.rows["test"]][:, named.splits["test"]].any(0))
    assert len(make(split_by="class", split_sizes=[2, 2, 2], limit_val=5).build().rows["val"]) == 5


def test_types_are_split_and_a_sentence_goes_with_them(make, tmp_path):
    named = {"train": ["a", "b"], "val": ["c", "d"], "test": ["e", "f"]}
    (tmp_path / "types.json").write_text(json.dumps(named))
    for foreign in ("drop", "mask"):
        table = make(split_by="class", split="types.json", foreign=foreign).build()
        assert {split: [table.classes[c] for c in ids] for split, ids in table.splits.items()} == named
        assert table.class_overlap == 0
        together = np.concatenate(list(table.rows.values()))
        assert len(set(together)) == len(together)
        for split, rows in table.rows.items():
            others = np.setdiff1d(np.arange(6), table.splits[split])
            inside, outside = (
                table.mentions[np.ix_(rows, ids)].sum(1) for ids in (table.splits[split], others)
            )
            assert (inside >= outside).all()
            assert foreign == "mask" or not outside.any()
    assert sorted(together) == list(range(300))  # masked, none is lost


def test_of_other_corpora_only_types_that_are_new_are_asked_for(make):
    files = {
        "one/a.txt": text(0, 40, "abc"),
        "two/a.txt": text(1, 40, "bcd"),
        "three/a.txt": text(2, 40, "ade"),
    }
    corpora = {"train": ["one/*.txt"], "val": ["two/*.txt"], "test": ["three/*.txt"], "split_by": "domain"}
    table = make(files, **corpora).build()
    assert table.class_overlap == 4  # b and c, a, d
    table = make(files, **corpora, unseen=True).build()
    found = {split: "".join(table.classes[c] for c in ids) for split, ids in table.splits.items()}
    assert found == {"train": "abc", "val": "d", "test": "e"}


def test_in_io_neighbours_of_one_type_are_one_entity_within_a_sentence(make):
    files = {"train.txt": "a B-x\nb B-x\n\nc B-x\nd O\ne I-y\n\n" * 4}
    assert make(files).build().mentions[:2].tolist() == [[1, 0], [1, 1]]
    table = make(files, tags="bio").build()
    assert table.mentions[:2].tolist() == [[2, 0], [1, 1]]
    assert table.notes[:1] == (
        "4 tags go on with an entity that there is not, and begin one (dataset.scheme=bio2)",
    )


@pytest.mark.parametrize("foreign", ["drop", "mask"])
@pytest.mark.parametrize("tags", ["io", "bio"])
def test_every_episode_keeps_to_what_was_asked(tags, foreign, make):
    table = make(tags=tags, foreign=foreign).build()
    source = source_of(table)
    sampler = source.sampler(EpisodeShape(ways=3, shots=2, queries=3))
    for episode in source.fixed_episodes(sampler, 60, 20):
        for task in range(len(episode)):
            classes = episode.query.classes[task].numpy()
            assert len(set(classes.tolist())) == 3
            assert set(classes) <= set(table.splits["train"])
            seen = []
            for examples, least in ((episode.support, 2), (episode.query, 3)):
                rows = examples.rows[task][examples.rows[task] >= 0].numpy()
                seen += rows.tolist()
                counts = table.mentions[np.ix_(rows, classes)]
                assert (counts.sum(1) > 0).all()
                assert (counts.sum(0) >= least).all()
                assert (counts.sum(0) <= 2 * least).all()
                assert foreign == "mask" or counts.sum() == table.mentions[rows].sum()
                for place, row in enumerate(rows):
                    check_tags(table, examples, task, place, row, classes)
                assert (examples.labels[task][len(rows) :] == -1).all()
            assert len(seen) == len(set(seen))
            assert set(seen) <= set(table.rows["train"])


def check_tags(table, examples, task, place, row, classes):
    """The tags of an episode are those of the data set, O where a type is none of the episode's."""
    words = slice(table.offsets[row], table.offsets[row + 1])
    bio = table.tags == "bio"
    for label, kind, start in zip(
        examples.labels[task, place], table.types[words], table.starts[words], strict=False
    ):
        if kind not in classes:
            assert label == 0
            continue
        way = classes.tolist().index(kind)
        assert label == (1 + 2 * way + (not start) if bio else 1 + way)
    assert (examples.labels[task, place, len(table.words[row]) :] == -1).all()


def test_the_names_of_tags_are_those_of_the_file():
    assert [tag_name(tag, ("LOC", "x-y")) for tag in range(5)] == ["O", "B-LOC", "I-LOC", "B-x-y", "I-x-y"]


def test_episodes_that_cannot_be_are_refused_after_some_tries(make):
    table = make({"train.txt": ("c B-z\nc O\n" * 5 + "\nd B-x\n\ne B-y\n\n") * 20}).build()
    source_of(table).sampler(EpisodeShape(ways=2, shots=1, queries=1))
    with pytest.raises(
        UserError, match=r"episode.train: no 3 types .* have 2~4 entities to give and 1~2 to ask"
    ):
        source_of(table).sampler(EpisodeShape(ways=3, shots=2, queries=1))


def test_what_is_drawn_is_the_same_in_another_process(make):
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); from test_conll import *; "
        "print(drawn(Conll(root=sys.argv[1], **USUAL).build()))"
    )
    made = make()
    arguments = [sys.executable, "-c", program, str(made.root), str(Path(__file__).parent)]
    other = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.strip()
    assert other == drawn(made.build())
    assert drawn(made.build(), 1) != other


def drawn(table, seed=0) -> str:
    source = source_of(table)
    sampler = source.sampler(EpisodeShape(ways=3, shots=1, queries=2))
    episodes = [source.episode(sampler, seed=seed, step=step, tasks=2) for step in range(3)]
    return digest(*(part.rows.numpy().data for e in episodes for part in (e.support, e.query)))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"train": ["trian.txt"]}, 'did you mean "train.txt"'),
        ({"tag": 0}, "dataset.train=train.txt, line 1: tag"),
        ({"tag": 0}, "is none of scheme bio2: O, B-TYPE, I-TYPE"),
        ({"scheme": "types"}, "dataset.scheme=types: every type has a prefix, as B-a has"),
        ({"split_by": "domain"}, "no sentence for val and test"),
        ({"train": ["/etc/passwd"]}, "dataset.train=/etc/passwd: a pattern of files below dataset.root="),
        ({"val": ["../x.txt"]}, "dataset.val=../x.txt: a pattern of files below dataset.root="),
        ({"test": [""]}, "dataset.test=: a pattern of files below dataset.root="),
        ({"split": "types.json"}, "dataset.split=types.json: a list of types cannot split sentences"),
        ({"split_sizes": [0.5, 0.5]}, "three shares are wanted"),
        ({"split_by": "class", "split_sizes": [4, 2, 1]}, "cannot split 6 types so"),
    ],
)
def test_a_mistake_is_answered_in_two_lines(options, said, make):
    with pytest.raises(UserError) as raised:
        make(**options).build()
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) <= 2


@pytest.mark.parametrize(
    ("content", "said"),
    [("\n\n", "its files hold no sentence"), ("a O\nb O\n\nc O\n", "every word of its 2 sentences is O")],
)
def test_files_without_entities_are_called_so(content, said, make):
    with pytest.raises(UserError, match=said):
        make({"train.txt": content}).build()


def test_a_sentence_that_stands_in_two_splits_is_noted(make):
    same, rest = "Anna B-a\nsleeps O\n\n", "Bo B-a\n\nKöln B-b\n\n"
    files = {"train.txt": same + rest, "val.txt": "Oslo B-b\n\n", "test.txt": "Rome B-b\n\n" + same}
    listed = {split: [f"{split}.txt"] for split in ("train", "val", "test")}
    noted = make(files, **listed).build().notes
    assert noted == ('sentences that stand in two splits: 1, the first "Anna sleeps"',)
    shared = make({"train.txt": same * 10}).build().notes  # one file, shared out
    assert shared == ('sentences that stand in two splits: 5, the first "Anna sleeps"',)


def test_a_column_that_numbers_words_is_not_taken_for_them(make):
    numbered = {"train.txt": "0 a O\n1 b B-x\n2 c O\n\n0 d B-x\n\n" * 4}
    with pytest.raises(UserError, match=r"dataset\.word=0: that column numbers the words") as raised:
        make(numbered).build()
    assert "dataset.word=1" in raised.value.hint
    assert make(numbered, word=1).build().words[0] == ("a", "b", "c")
    years = {"train.txt": "1999 O\n2000 O\nParis B-x\n\n7 B-x\n\n" * 4}
    assert make(years).build().words[1] == ("7",)


def test_types_that_hold_hyphens_are_types(make):
    files = {"train.txt": "a O\nb I-95\nc x-y\n\n" * 4}
    assert make(files, scheme="types").build().classes == ("I-95", "x-y")


@pytest.mark.skipif(not (DATA / "crossner").exists(), reason="METACLI_DATA names no folder with crossner")
def test_the_published_files_have_the_published_counts():
    files = {"train": ["*/train.txt"], "val": ["*/dev.txt"], "test": ["*/test.txt"]}
    table = Conll(root=str(DATA / "crossner"), **USUAL | files).build()
    assert [len(table.rows[split]) for split in ("train", "val", "test")] == [700, 2121, 2506]
    assert len(table.classes) == 39
