"""Train and val of one data set, test of another: what the joined table says is what each of them said."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from metacli.data.conll import Conll
from metacli.data.images import sources
from metacli.data.sampler import EpisodeShape
from metacli.data.table import Description
from metacli.data.target import joined, joined_description, named_target
from metacli.errors import UserError

LINES = {
    "news": "Anna B-person\nLee I-person\nmoved O\n\nKöln B-city\n\nOslo B-city\nslept O\n\n",
    "law": "the O\ncourt B-court\nof I-court\nKöln B-city\n\nBonn B-city\n\n§ B-norm\n4 I-norm\n\n",
}


@pytest.fixture
def read(tmp_path):
    def read(name, **options):
        (tmp_path / f"{name}.txt").write_text(LINES[name] * 5)
        usual = {"separator": "whitespace", "word": 0, "tag": -1, "comment": "", "scheme": "bio2"}
        usual |= {"encoding": "utf-8", "tags": "bio", "foreign": "drop", "split_by": "item", "unseen": False}
        usual |= {"split": "seeded", "split_sizes": [0.4, 0.3, 0.3], "split_seed": 0}
        usual |= {"train": [f"{name}.txt"], "val": [], "test": []}
        usual |= dict.fromkeys(("limit_train", "limit_val", "limit_test"), 0)
        return Conll(root=str(tmp_path), **usual | options)

    return read


@pytest.mark.parametrize("unseen", [False, True])
def test_of_tagged_words_types_of_one_name_are_the_same(unseen, read):
    own, other = read("news").build(), read("law", foreign="mask").build()
    table = joined(own, other, unseen=unseen)
    assert table.classes == ("city", "court", "norm", "person")
    assert table.names("train") == ["city", "person"]
    assert table.names("test") == (["court", "norm"] if unseen else ["city", "court", "norm"])
    assert [table.foreign_of(split) for split in ("train", "val", "test")] == ["drop", "drop", "mask"]
    for split, part in (("train", own), ("val", own), ("test", other)):
        assert [table.words[row] for row in table.rows[split]] == [
            part.words[row] for row in part.rows[split]
        ]
        counts = [
            {
                cls: int(n)
                for cls, n in zip(each.classes, each.mentions[each.rows[split]].sum(0), strict=True)
                if n
            }
            for each in (table, part)
        ]
        assert counts[0] == counts[1]
    assert table.fingerprint != own.fingerprint
    assert table.split_fingerprint != replace(table, foreign_at_test=None).split_fingerprint
    told = joined_description(read("news").describe(), read("law", foreign="mask").describe(), unseen=unseen)
    assert list(told.splits["test"]) == table.names("test")
    with pytest.raises(UserError, match=r"target\.tags=io: other than dataset\.tags=bio"):
        joined(own, read("law", tags="io").build(), unseen=False)


def test_of_images_train_is_of_the_one_and_test_of_the_other(table):
    new = tuple(f"other {number}" for number in range(14))
    other = replace(table, images=255 - table.images, classes=("class 03", *new))
    both = joined(table, other, unseen=False)
    assert len(both.classes) == 29
    cpu = torch.device("cpu")
    before, after, there = (sources(each, cpu) for each in (table, both, other))
    for split, expected in (("train", before), ("val", before), ("test", there)):
        rows, same = both.rows(split), expected[split].table.rows(split)
        kept, given = (
            after[split].items(torch.from_numpy(rows)),
            expected[split].items(torch.from_numpy(same)),
        )
        assert torch.equal(kept["x"], given["x"])
        names = [both.classes[c] for c in both.labels[rows]]
        assert names == [expected[split].table.classes[c] for c in expected[split].table.labels[same]]
    source = after["test"]
    episode = source.episode(source.sampler(EpisodeShape(2, 1, 1)), seed=0, step=0, tasks=4)
    assert set(episode.query.classes.flatten().tolist()) <= set(both.splits["test"].tolist())
    assert np.all(both.rows("test") >= 300)


def test_what_does_not_fit_together_is_refused_and_named():
    images, functions = Description((1, 8, 8), {"test": {}}), Description((1,), {}, kind="regress")
    for other, said in (
        (functions, "dataset@target: its tasks are to regress, those of the data set to classify"),
        (Description((3, 8, 8), {}), r"dataset@target: its items are \[3, 8, 8\]"),
    ):
        with pytest.raises(UserError, match=said):
            joined_description(images, other, unseen=False)
    with pytest.raises(UserError, match="functions are drawn"):
        joined_description(functions, functions, unseen=False)
    with pytest.raises(UserError, match=r"^target\.root=x: nothing there") as raised, named_target():
        raise UserError("dataset.root=x: nothing there", "see dataset.root")
    assert raised.value.hint == "see target.root"
