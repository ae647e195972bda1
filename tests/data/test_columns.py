"""Column files: what is read, and what is said of a line that is not as it should be."""

import pytest

from metacli.data.columns import Columns, Sentence
from metacli.data.tag_schemes import entities, split_tag
from metacli.errors import UserError

USUAL = {
    "separator": "whitespace",
    "word": 0,
    "tag": -1,
    "comment": "",
    "scheme": "bio2",
    "encoding": "utf-8",
}


@pytest.fixture
def read(tmp_path):
    def read(content, **form):
        path = tmp_path / "train.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return Columns(**USUAL | form).read(path, "dataset.train=train.txt")

    return read


# Two persons side by side, one of them of two words, then a place.
SAME = {
    "iob1": "I-PER I-PER B-PER O I-LOC",
    "bio2": "B-PER I-PER B-PER O B-LOC",
    "bioes": "B-PER E-PER S-PER O S-LOC",
    "bmes": "B-PER E-PER S-PER O S-LOC",
}


@pytest.mark.parametrize("scheme", SAME)
def test_every_scheme_says_the_same_of_the_same_entities(scheme):
    found = entities([split_tag(tag, scheme) for tag in SAME[scheme].split()], scheme)
    assert found.types == ("PER", "PER", "PER", "", "LOC")
    assert found.starts == (True, False, True, False, True)
    assert found.mended == 0


@pytest.mark.parametrize(("scheme", "tags"), [("io", "I-a-b I-a-b I-c O"), ("types", "a-b a-b c O")])
def test_without_a_beginning_neighbours_of_one_type_are_one_entity(scheme, tags):
    found = entities([split_tag(tag, scheme) for tag in tags.split()], scheme)
    assert found == (("a-b", "a-b", "c", ""), (True, False, True, False), 0)


def test_a_tag_that_goes_on_with_nothing_begins_an_entity_and_is_counted():
    found = entities([split_tag(tag, "bio2") for tag in ["O", "I-PER", "I-LOC", "I-LOC"]], "bio2")
    assert found.starts == (False, True, True, False)
    assert found.mended == 2
    within = entities([split_tag(tag, "bmes") for tag in ["B-X", "M-X", "E-X", "M-X"]], "bmes")
    assert within.starts == (True, False, False, True)
    assert within.mended == 1


def test_words_and_tags_may_stand_in_any_column_beside_others(read):
    expected = [Sentence(("New York", "!"), ("LOC", ""), (True, False))]
    assert read("1\tB-LOC\tNew York\n2\tO\t!\n", separator="tab", word=2, tag=1)[0] == expected
    assert read("New York;x;B-LOC\r\n!;x;O\r\n\r\n", separator=";")[0] == expected
    assert read("# a comment\nNew York|B-LOC\n# another\n!|O", separator="|", comment="# ")[0] == expected


def test_a_hash_is_a_word_where_no_comment_is_asked_for_and_a_document_line_is_none(read):
    sentences, _ = read("-DOCSTART- -X- O\n\n# NN O\nUS NN B-LOC\n\n\n\nok NN O\n")
    assert [sentence.words for sentence in sentences] == [("#", "US"), ("ok",)]


def test_blanks_that_are_letters_of_their_own_part_no_columns_and_no_lines(read):
    sentences, _ = read("\ufeffa\u00a0b O\nc\u2028d O\n\u3000 O\n")
    assert sentences[0].words == ("a\u00a0b", "c\u2028d", "\u3000")


def test_another_encoding_is_read_when_it_is_named(read):
    content = "Köln B-LOC\n".encode("latin-1")
    assert read(content, encoding="latin-1")[0][0].words == ("Köln",)
    with pytest.raises(
        UserError, match=r"^dataset.train=train.txt, line 2: byte 0xf6 is not UTF-8"
    ) as raised:
        read(b"a O\n" + content)
    assert "dataset.encoding=" in raised.value.hint


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("word", 'train.txt, line 3: 1 column, "word", and the lines before have 2'),
        ("a b O", 'train.txt, line 3: 3 columns, "a b O", and the lines before have 2'),
        ("a B-", 'train.txt, line 3: tag "B-" is without its type: B-TYPE'),
        ("a B", 'train.txt, line 3: tag "B" is without its type: B-TYPE'),
        ("a S-LOC", "dataset.scheme=bioes or bmes has it"),
        ("a LOC", 'tag "LOC" is none of scheme bio2: O, B-TYPE, I-TYPE'),
    ],
)
def test_a_line_that_is_not_right_is_named(line, said, read):
    with pytest.raises(UserError) as raised:
        read(f"a O\n\n{line}\n")
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) == 2


def test_columns_that_are_not_there_and_words_that_are_empty_are_named(read):
    with pytest.raises(UserError, match=r"line 1: 2 columns.*none is column 3"):
        read("a O\n", tag=3)
    with pytest.raises(UserError, match="line 2: its word is empty"):
        read("a\tO\n\tO\n", separator="tab")
