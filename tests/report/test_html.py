import re
from html.parser import HTMLParser

import pytest

from metacli.report.html import html_page
from metacli.report.results import summarise

PNG = b"\x89PNG\r\n\x1a\n pretended"
IMAGES = {"confusion": PNG, "learning_curve": PNG, "episodes": PNG, "support": PNG}
UNCLOSED = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """The page's tags, and its text by the tags that it stands in."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in UNCLOSED:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append((tuple(self.open), data))

    def words(self) -> str:
        return " ".join(" ".join(text for within, text in self.texts if "style" not in within).split())


def page_of(summary, images=IMAGES, config="seed: 0\n", command="metacli rerun runs/a") -> tuple[str, Page]:
    page = html_page(summary, images, config, command)
    return page, Page(page)


def test_every_tag_is_closed_in_order(summary):
    assert page_of(summary)[1].open == []


def test_names_config_and_command_are_escaped(summary):
    summary["run"]["dataset"] = "<img src=x onerror=alert(1)>"
    attack = "</pre><script>alert(2)</script>"
    page, parsed = page_of(summary, config=attack, command=attack)
    tags = [tag for tag, _ in parsed.tags]
    assert "script" not in tags
    assert tags.count("img") == len(IMAGES)
    assert [text for within, text in parsed.texts if within[-1] == "pre"] == [attack, attack]
    assert "&lt;script&gt;alert(&#39;a &amp; b&#39;)&lt;/script&gt;" in page


def test_nothing_outside_the_page_is_referred_to_and_no_script_runs(summary):
    page, parsed = page_of(summary)
    for tag, attributes in parsed.tags:
        assert tag not in {"link", "script", "iframe", "object", "base"}
        assert attributes.get("src", "data:image/png;base64,").startswith("data:image/png;base64,")
        assert "href" not in attributes
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"https?:|@import|url\(", page)
    assert "default-src 'none'" in page


def test_every_picture_has_words_for_those_who_cannot_see_it(summary):
    pictures = [attributes for tag, attributes in page_of(summary)[1].tags if tag == "img"]
    assert len({attributes["alt"] for attributes in pictures}) == len(pictures) == 4


def test_a_picture_that_was_not_made_is_left_out(summary):
    tags = page_of(summary, images={"confusion": PNG})[1].tags
    assert [attributes["class"] for tag, attributes in tags if tag == "img"] == ["confusion"]


def test_the_headline_says_how_much_and_of_what(summary):
    words = page_of(summary)[1].words()
    accuracy = summary["metrics"]["accuracy"]
    assert f"{100 * accuracy['mean']:.2f} % ± {100 * accuracy['ci95']:.2f} %" in words
    assert (
        "Mean accuracy of maml on omniglot , 5-way 1-shot , over 40 test episodes of unseen classes" in words
    )
    assert "guessing would reach 20 %" in words


def test_classes_that_stand_in_two_splits_are_not_called_unseen(summary):
    summary["protocol"]["class_overlap"] = 3
    words = page_of(summary)[1].words()
    assert "unseen" not in words
    assert "classes in more than one split: 3" in words


@pytest.mark.parametrize(
    ("mode", "kind"),
    [
        ("batch", "transductive"),
        ("support", "inductive"),
        ("running", "inductive"),
        ("with_support_single", "inductive"),
        ("none", "inductive"),
    ],
)
def test_the_page_says_whether_batch_norm_is_transductive(summary, mode, kind):
    summary["protocol"]["bn_mode"] = mode
    assert f"{mode} ({kind}: " in page_of(summary)[1].words()


def test_the_protocol_the_run_and_the_way_to_repeat_it_are_told(summary):
    words = page_of(summary)[1].words()
    for fact in (
        "best validation accuracy",
        "read once",
        summary["protocol"]["episode_hash"],
        summary["result_hash"],
        "conv4, 111,261 parameters",
        "12 min 34 s",
        "metacli rerun runs/a",
        "seed: 0",
    ):
        assert fact in words


def test_a_table_of_few_classes_is_open(summary):
    _, page = page_of(summary)
    rows = [within for within, text in page.texts if text == "猫の絵"]
    assert len(rows) == 1
    assert "details" not in rows[0]


def test_of_many_classes_the_ten_worst_are_open_and_all_are_folded(make_results, protocol, run):
    names = tuple(f"class {number}" for number in range(31))
    summary = summarise(make_results(names, episodes=100), protocol, run, "")
    _, page = page_of(summary)
    cells = [(within, text) for within, text in page.texts if re.fullmatch(r"class \d+", text)]
    worst = sorted(summary["per_class"], key=lambda row: row["f1"])[:10]
    assert [text for within, text in cells if "details" not in within] == [row["class"] for row in worst]
    assert [text for within, text in cells if "details" in within] == list(names)


def test_settings_that_a_run_does_not_have_leave_no_gap(summary):
    summary["protocol"]["episode"] |= {"train": {}, "val": None}
    summary["protocol"]["order"] = None
    summary["run"] |= {"seconds_train": None, "parameters": None}
    summary["metrics"]["loss"] |= {"mean": None, "ci95": None}
    words = page_of(summary)[1].words()
    assert "Train episodes none" in words
    assert "Training not measured" in words
    assert "not a number" in words
    assert "None" not in words
