"""Reports on sentences of tagged words, and the traps of scoring them (what seqeval does is written down here)."""

import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest

from metacli.data.tagged import tag_name
from metacli.report.figures import figures
from metacli.report.html import html_page
from metacli.report.results import summarise
from metacli.report.spans import Span, span_scores, spans
from metacli.report.tables import csv_report, episodes_csv, predictions_csv, text_report
from metacli.report.tagging import TaggingResults

CLASSES = ("LOC", "ORG", "PER", "art-other")
IDS = {tag_name(tag, CLASSES): tag for tag in range(1 + 2 * len(CLASSES))}

# §7.4's example, as two sentences of one episode, and an episode in which nothing is found.
TRUTH = [["B-PER I-PER O B-LOC O", "B-ORG I-ORG I-ORG O O"], ["B-LOC O"]]
PREDICTED = [["B-PER I-PER O B-LOC O", "B-ORG I-ORG O O O"], ["O O"]]


def made(truth, predicted):
    flat = [
        (episode, row, place, true, answer)
        for episode, (trues, answers) in enumerate(zip(truth, predicted, strict=True))
        for row, (one, other) in enumerate(zip(trues, answers, strict=True))
        for place, (true, answer) in enumerate(zip(one.split(), other.split(), strict=True))
    ]
    episode, row, place = (np.array(column) for column in list(zip(*flat, strict=True))[:3])
    true, answer = (np.array([IDS[tag] for tag in column]) for column in list(zip(*flat, strict=True))[3:])
    words = [["<b>Ann</b>", "Lee", "of", "Köln", "."], ["The", "Blue", "Co", "is", "."]]
    return TaggingResults(
        CLASSES, words, true, answer, episode, row, place, np.array([0.5, 0.1])[: len(truth)]
    )


@pytest.fixture
def tagged():
    return made(TRUTH, PREDICTED)


@pytest.fixture
def summary_of_tags(tagged, protocol, run):
    return summarise(tagged, protocol, run | {"dataset": "wnut17"}, "0123456789abcdef0123456789abcdef")


def test_one_example_has_the_four_scores_of_the_document():
    metrics = made(TRUTH[:1], PREDICTED[:1])
    assert metrics.values()["span_f1"] == pytest.approx([2 / 3])
    pooled = metrics.pooled()
    assert pooled["token_accuracy"] == (0.9, 10)
    assert pooled["entity_token_f1"][0] == pytest.approx(0.9091, abs=5e-5)
    assert metrics.tables()["averages"]["macro"]["f1"] == pytest.approx(0.9259, abs=5e-5)
    assert metrics.tables()["averages"]["micro"]["f1"] == pytest.approx(0.9)


def test_pooled_and_per_episode_scores_are_two_numbers(summary_of_tags):
    metrics = summary_of_tags["metrics"]
    assert summary_of_tags["primary"] == "span_f1"
    mean = (2 / 3 + 0) / 2  # an episode without an answer counts as 0
    assert metrics["span_f1"]["mean"] == pytest.approx(mean)
    assert metrics["span_f1"]["ci95"] == pytest.approx(1.96 * mean / 2**0.5)
    assert metrics["span_f1"]["n"] == 2
    assert metrics["pooled_span_f1"]["mean"] == pytest.approx(2 * (2 / 3) * (2 / 4) / (2 / 3 + 2 / 4))
    assert metrics["pooled_span_f1"]["ci95"] is None
    assert metrics["pooled_span_f1"]["n"] == 4  # entities


def test_the_text_has_the_layout_of_the_source_with_o_last_and_entities_beside_it(summary_of_tags):
    lines = text_report(summary_of_tags).splitlines()
    assert lines[0] == "words, by tag"
    assert lines[1].split() == ["precision", "recall", "f1-score", "support"]
    rows = [line.split()[0] for line in lines[3:9]]
    assert rows == ["B-LOC", "B-ORG", "I-ORG", "B-PER", "I-PER", "O"]
    assert lines[8].split() == ["O", "0.714", "1.000", "0.833", "5"]
    assert [line.split()[0] for line in lines[10:13]] == ["micro", "macro", "weighted"]
    assert lines[10].split() == ["micro", "avg", "0.833", "0.833", "0.833", "12"]
    entities = lines[lines.index("entities, by type: right where first and last word and type are") :]
    assert entities[3].split() == ["LOC", "1.000", "0.500", "0.667", "2"]
    assert max(map(len, lines)) <= 80


def test_the_csvs_hold_words_entities_and_episodes(tagged, summary_of_tags):
    rows = list(csv.DictReader(io.StringIO(csv_report(summary_of_tags))))
    kinds = [row["kind"] for row in rows]
    assert kinds == ["class"] * 6 + ["average"] * 3 + ["span"] * 3 + ["span average"] * 3
    words = list(csv.DictReader(io.StringIO(predictions_csv(tagged))))
    assert [row["word"] for row in words[:5]] == tagged.words[0]
    assert [int(row["correct"]) for row in words] == [1] * 7 + [0] + [1] * 2 + [0, 1]
    assert (words[7]["true"], words[7]["predicted"]) == ("I-ORG", "O")
    assert [float(row["loss"]) for row in csv.DictReader(io.StringIO(episodes_csv(tagged)))] == [0.5, 0.1]


def test_the_page_shows_sentences_gold_beside_predicted_and_errors_first(tagged, summary_of_tags, history):
    examples = tagged.examples()
    assert [example["errors"] for example in examples] == [2, 1]
    assert [piece for piece in examples[0]["true"] if piece["kind"]] == [
        {"text": "The Blue Co", "kind": "ORG"}
    ]
    assert [piece for piece in examples[0]["predicted"] if piece["kind"]] == [
        {"text": "The Blue", "kind": "ORG"}
    ]
    page = html_page(summary_of_tags, figures(tagged, history), "", "", examples)
    assert page.index("The Blue Co <small>ORG</small>") < page.index("The Blue <small>ORG</small>")
    assert "&lt;b&gt;Ann&lt;/b&gt;" in page
    assert "guessing" not in page
    assert len(set(re.findall(r'<mark style="--hue:(\d+)"', page))) == 2


def test_a_sentence_that_was_asked_twice_is_shown_once_as_it_went_worst():
    results = made([["B-LOC O"], ["B-LOC O"]], [["B-LOC O"], ["O O"]])
    assert [(example["errors"], example["episode"]) for example in results.examples()] == [(1, 1)]


def test_a_type_with_a_hyphen_is_told_from_another_that_ends_alike_only_behind_a_prefix():
    scores = span_scores([["I-person-other", "O"]], [["I-art-other", "O"]])
    assert scores.f1 == 0
    with pytest.warns(UserWarning, match="seems not to be NE tag"):
        assert span_scores([["person-other", "O"]], [["art-other", "O"]]).f1 == 1.0  # the trap


def test_the_tags_that_results_hand_on_have_their_prefix():
    results = made([["I-art-other O"]], [["I-PER O"]])
    assert results.values()["span_f1"].tolist() == [0.0]
    assert {entry["class"] for entry in results.tables()["spans"]["per_class"]} == {"art-other", "PER"}


def test_sentences_stay_apart_where_entities_touch_at_their_border():
    truth, predicted = [["O", "I-PER"], ["I-PER", "O"]], [["O", "I-PER"], ["O", "O"]]
    assert span_scores(truth, predicted).f1 == pytest.approx(2 / 3)
    flat = [[*side[0], *side[1]] for side in (truth, predicted)]
    assert span_scores([flat[0]], [flat[1]]).f1 == 0  # the trap
    results = made([["O I-PER", "I-PER O"]], [["O I-PER", "O O"]])
    assert results.values()["span_f1"] == pytest.approx([2 / 3])


def test_of_a_whole_split_sentences_have_shares_that_sum_to_its_scores():
    random = np.random.default_rng(0)
    tags = np.array(["O", "O", "I-LOC", "I-PER"])
    truth = [[" ".join(random.choice(tags, 8)) for _ in range(1)] for _ in range(300)]
    predicted = [[" ".join(np.where(random.random(8) < 0.8, one.split(), "O"))] for (one,) in truth]
    results = replace(made(truth, predicted), loss=np.zeros(300), given=False)
    whole = [[tag_name(t, CLASSES) for t in part] for part in results.truth.reshape(-1, 8)]
    answers = [[tag_name(t, CLASSES) for t in part] for part in results.predicted.reshape(-1, 8)]
    scores = span_scores(whole, answers)
    values = results.values()
    for name in ("f1", "precision", "recall"):
        assert values[f"span_{name}"].mean() == pytest.approx(getattr(scores, name))
    drawn = random.integers(0, 300, (400, 300))
    again = [span_scores([whole[i] for i in d], [answers[i] for i in d]).f1 for d in drawn]
    assert values["span_f1"].std() / 300**0.5 == pytest.approx(np.std(again), rel=0.15)  # as the bootstrap


def test_seqeval_takes_io_tags_in_its_default_mode_and_not_as_strict_iob2():
    from seqeval.metrics import f1_score
    from seqeval.scheme import IOB2

    tags = [["I-PER", "I-PER", "O"]]
    assert f1_score(tags, tags) == 1.0
    assert f1_score(tags, tags, mode="strict", scheme=IOB2, zero_division=0) == 0
    assert spans(tags[0]) == [Span("PER", 0, 1)]
