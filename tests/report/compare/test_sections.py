"""What stands above and below the tables of a comparison."""

import shutil

import pytest

from metacli.report.compare.measured import measured
from metacli.report.compare.ranking import compare
from metacli.report.compare.sections import sections


@pytest.fixture
def run(save_run):
    def make(name="a", values=(0.5, 0.7, 0.6, 0.9), **how):
        return measured(save_run(name, list(values), **how))

    return make


def said(runs, *, join=lambda run, other: f"metacli eval {run.training.name}", **how) -> list[list[tuple]]:
    """For each set its notes, as (text, lines, loud)."""
    found = sections(compare(runs, **how), join, over_seeds=how.get("over_seeds", False))
    return [[(note.text, note.lines, note.loud) for note in section.notes] for section in found]


def texts(runs, **how) -> str:
    return "\n".join(text for section in said(runs, **how) for text, _, _ in section)


def test_the_title_says_what_was_asked(run):
    (section,) = sections(compare([run()]), lambda run, other: "", over_seeds=False)
    assert section.title == "glyphs, test split: 5-way 1-shot, 15 queries per class, 4 episodes"
    titles = [
        section.title for section in sections(compare([run(), run(shots=5)]), lambda *_: "", over_seeds=False)
    ]
    assert [title.split(":")[0] for title in titles] == ["set 1 of 2", "set 2 of 2"]


def test_a_run_alone_needs_no_words(run):
    assert said([run()]) == [[]]


def test_the_letters_are_explained(run):
    assert (
        "group: rows that share a letter do not differ significantly (paired t-tests over the 4 episodes, "
        "5 % level, Holm's correction over 3 pairs)."
    ) in texts([run(), run(seed=1), run(seed=2)])


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"shots": 5}, "episode.shots 5, not 1"),
        ({"split": "val"}, "the val split, not test"),
        ({"values": (0.5, 0.6)}, "episode.count 2, not 4"),
        ({"data": "omniglot"}, "data set omniglot, not glyphs"),
        ({"classes": "split 1"}, "the data have changed"),
        ({"episode_hash": "0"}, "other episodes under the same settings"),
        ({"metric": "mse"}, "another kind of task: regress, not classify"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_why_a_set_stands_apart_is_said_with_the_command_that_would_join_it(run, other, why):
    apart = run("b", **other)
    (text, lines, loud), *_ = said([run(), run(seed=1), apart])[1]
    assert text.startswith(f"NOT COMPARABLE with set 1: {why}")
    assert loud
    assert lines == (f"metacli eval {apart.path.name}",)


def test_other_values_of_one_data_set_are_named(run, save_run):
    apart = run("b", classes="split 1")
    apart.config["dataset"]["seed"] = 4
    assert "NOT COMPARABLE with set 1: dataset.seed 4, not 0." in texts([run(), run(seed=1), apart])


def test_a_set_is_held_against_the_most_alike_of_those_before_it(run):
    photos = run("b", data="omniglot"), run("b", seed=1, data="omniglot")
    apart = run("c", data="omniglot", classes="split 1")
    waves = run("d", metric="mse"), run("e", metric="mse", shots=5)
    sets = said([run(), run(seed=1), run(seed=2), *photos, apart, *waves])
    assert [section[0][0].partition(".")[0] for section in sets[1:]] == [
        "NOT COMPARABLE with set 1: data set omniglot, not glyphs",
        "NOT COMPARABLE with set 2: the data have changed",
        "NOT COMPARABLE with set 1: another kind of task: regress, not classify",
        "NOT COMPARABLE with set 4: episode",
    ]


def test_a_run_that_stands_in_the_first_set_need_not_be_asked_again(run):
    before = run()
    (text, lines, _), *_ = said([before, run(seed=1), run("b", split="val", of=before.path)])[1]
    assert text == "NOT COMPARABLE with set 1: the val split, not test."
    assert lines == ()


def test_of_many_commands_some_are_shown(run):
    (text, lines, _), *_ = said(
        [run(seed=seed) for seed in range(6)] + [run("b", seed=seed, shots=5) for seed in range(5)]
    )[1]
    assert len(lines) == 3
    assert text.endswith("(and so for 2 more):")


def test_transductive_rows_are_called_so_loudly_and_can_be_measured_without(run):
    runs = [run(), run(seed=1, bn_mode="batch")]
    (text, lines, loud), *_ = said(runs)[0]
    assert text.startswith("NOT RANKED with the others: row 2, transductive: batch norm sees all queries")
    assert lines == (f"metacli eval {runs[1].path} paradigm.bn_mode=support",)
    assert loud
    (text, lines, loud), *_ = said(runs, across_bn=True)[0]
    assert text.startswith("RANKED ALL THE SAME, as asked: row ")
    assert loud


def test_no_bn_mode_makes_a_transductive_method_inductive(run):
    (text, lines, _), *_ = said([run(), run(seed=1, transductive_method=True)])[0]
    assert text.startswith("NOT RANKED with the others: row 2, transductive")
    assert lines == ()


def test_what_was_measured_without_already_is_not_asked_for_again(run):
    trained = run(bn_mode="batch")
    (text, lines, _), *_ = said([trained, run(bn_mode="support", of=trained.path)])[0]
    assert text.startswith("NOT RANKED with the others: row 2, transductive")
    assert lines == ()


def test_nothing_is_shouted_where_all_rows_stand_alike(run):
    for mode in ("batch", "support"):
        runs = [run(bn_mode=mode), run(seed=1, bn_mode=mode)]
        assert not any(loud for _, _, loud in [*said(runs)[0], *said(runs, across_bn=True)[0]])


def test_a_batch_norm_mode_of_tomorrow_is_not_ranked(run):
    assert "NOT RANKED with the others: row 2, of tomorrow: that" in texts(
        [run(), run(bn_mode="of tomorrow")]
    )


def test_validation_is_called_optimistic(run):
    (text, _, loud), *_ = said([run(split="val")])[0]
    assert text.startswith("OPTIMISTIC")
    assert loud


def test_classes_of_the_training_among_those_of_the_test_are_told(run):
    before = run("before")
    knowing = run(classes="split 1", of=before.path)
    assert "NOT UNSEEN: row 1, test classes seen in training" in texts([knowing])
    assert "NOT RANKED with the others: row 2, test classes seen" in texts(
        [knowing, run("b", classes="split 1")]
    )
    overlapping = run()
    overlapping.report["protocol"]["class_overlap"] = 2
    assert "NOT UNSEEN: row 1: some classes stand in more than one split." in texts([overlapping])


def test_one_seed_says_nothing_of_another(run):
    runs = [run(seed=0), run(seed=1), run(seed=0, paradigm="protonet")]
    alone = texts(runs)
    assert "What another training (seed) would give, they do not tell" in alone
    assert "Rows 1, 2 differ in nothing but the seed." in alone
    apart = [run(seed=0), run(seed=1, values=(0.8, 0.9, 0.8, 1.1))]
    assert "ONE METHOD: rows 1, 2 differ in nothing but the seed, and yet the test tells some" in texts(apart)
    together = texts(runs, over_seeds=True)
    assert "The interval and the test of rows with several seeds are about other seeds" in together
    assert "One seed: row 2." in together


def test_what_is_not_trained_needs_no_seeds(run):
    runs = [run(seed=seed) for seed in range(2)]
    for each in runs:
        each.report["protocol"]["selection"] = "none: nothing is trained"
    assert "seed" not in texts(runs)


def test_weights_from_other_data_are_told(run):
    before = run("before", data="omniglot")
    assert "Row 1: weights trained on other data (omniglot)." in texts([run(of=before.path)])


def test_a_start_that_is_gone_is_told(run):
    before = run("before")
    shutil.rmtree(before.path)
    assert "Row 1: the run that it started from is gone" in texts([run(init_from=str(before.path))])


def test_the_same_result_twice_is_told(run):
    assert "Rows 1, 2 have the same result, bit for bit." in texts([run(), run("again")])


def test_a_seed_that_was_left_out_is_named(run):
    runs = [run(), run("again"), run(seed=1)]
    assert (
        "Left out, since a run with the same settings and seed stands in a row:",
        (str(runs[0].path),),
        False,
    ) in (said(runs, over_seeds=True)[0])
