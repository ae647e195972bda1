import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from metacli.report import confusion as confusion_module
from metacli.report.canvas import label
from metacli.report.classification import ClassificationResults, SupportPicture
from metacli.report.confusion import confusion
from metacli.report.figures import figures
from metacli.report.picture import support_picture
from metacli.report.plots import episode_histogram, learning_curve


def pixels(png: bytes) -> np.ndarray:
    """[H, W, 3], after a check that there is something to see."""
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    assert image.std() > 1
    return image


def answers(truth, predicted, classes: int) -> ClassificationResults:
    truth, predicted = np.array(truth), np.array(predicted)
    return ClassificationResults(
        classes=tuple(f"class {number}" for number in range(classes)),
        truth=truth,
        predicted=predicted,
        confidence=np.ones(truth.shape, dtype=np.float32),
        loss=np.ones(len(truth)),
        rows=np.zeros(truth.shape, dtype=np.int64),
        items=["0"],
    )


def test_each_stage_before_meta_training_has_a_curve_of_its_own_over_its_epochs(results):
    measured = {"loss": 1.5, "val_accuracy": 0.5, "val_ci95": 0.1}
    rows = [{"stage": "pretrain", "epoch": epoch, "step": 7 * epoch, **measured} for epoch in (1, 2, 3)]
    drawn = figures(results, [*rows, {"step": 10, "loss": 1.0}])
    assert {"pretrain_curve", "learning_curve"} < drawn.keys()
    by_epoch = [{"step": epoch, **measured} for epoch in (1, 2, 3)]
    assert drawn["pretrain_curve"] == learning_curve(by_epoch, "epoch")
    assert drawn["learning_curve"] == learning_curve([{"step": 10, "loss": 1.0}])
    assert "learning_curve" not in figures(results, rows)
    assert "learning_curve" in figures(results, [])


def test_every_picture_can_be_drawn_with_names_in_any_script_and_with_dollar_signs(results, picture):
    # A missing glyph would warn, and warnings are errors here; an unbalanced "$" would raise.
    for png in (confusion(results), episode_histogram(results), support_picture(picture)):
        assert min(pixels(png).shape[:2]) > 300


def test_letters_that_the_font_lacks_and_line_ends_are_spelt_as_code_points():
    assert label("Ж猫\nx", 40) == "ЖU+732BU+000Ax"


def test_a_long_label_is_cut_in_the_middle():
    assert label("Gurmukhi/character42/rot090", 20) == "Gurmukhi/...2/rot090"


def test_up_to_forty_classes_are_shown_whole_and_more_do_not_make_the_picture_grow(make_results):
    def width(classes: int) -> int:
        names = tuple(f"class {number}" for number in range(classes))
        return pixels(confusion(make_results(names, episodes=200))).shape[1]

    assert width(41) == width(60) < width(40)


def test_of_many_classes_those_most_often_confused_are_shown_together():
    truth, predicted = np.arange(60)[None].repeat(3, axis=0), np.arange(60)[None].repeat(3, axis=0)
    predicted[:, 50] = 7  # three mistakes
    predicted[:2, 3] = 20  # two
    predicted[0, 9] = 8  # one
    results = answers(truth, predicted, 60)
    shown = confusion_module._most_confused(results, np.arange(60))
    assert shown.tolist() == [7, 50, 3, 20, 8, 9]
    pixels(confusion(results))


def test_many_classes_without_a_mistake_still_make_a_picture():
    pixels(confusion(answers([list(range(60))], [list(range(60))], 60)))


def test_the_counts_put_answers_that_are_not_shown_into_the_last_column():
    results = answers([[0, 0, 0, 5, 9]], [[0, 5, 9, 5, 0]], 10)
    counts = confusion_module._counts(results, np.array([5, 0]))
    assert counts.tolist() == [[1, 0, 0], [1, 1, 1]]


def test_classes_met_where_they_stood_in_one_episode():
    truth = np.array([[0, 1, 1], [2, 3, 3]])
    met = confusion_module._met(truth, np.array([3, 0, 1]))
    assert met.tolist() == [[True, False, False, True], [False, True, True, True], [False, True, True, True]]


def test_pairs_that_never_met_are_grey_and_pairs_without_a_mistake_white():
    share = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.5, 0.5]])
    possible = np.array([[True, False, True], [False, True, True], [True, True, True]])
    colours = confusion_module._colours(share, possible)
    assert np.ptp(colours[0, 1]) < 0.05 < 1 - colours[0, 1].max()
    assert colours[0, 2].tolist() == [1, 1, 1]
    blue, orange = colours[0, 0], colours[2, 1]
    assert blue.argmax() == 2
    assert orange.argmax() == 0


def test_a_run_without_training_says_so_instead_of_an_empty_chart(history):
    assert pixels(learning_curve([])).shape[0] < pixels(learning_curve(history)).shape[0] / 2


@pytest.mark.parametrize(
    "records",
    [
        [{"step": 1, "loss": 1.2}],
        [{"step": 1, "loss": 1.2, "val_accuracy": 0.5, "val_ci95": 0.03}],
        [{"step": 0, "val_accuracy": 0.5, "val_ci95": 0.03}],
        [{"step": 1, "loss": float("nan")}, {"step": 2, "loss": float("inf")}],
        [{"step": step, "loss": 1.0 if step < 150 else float("nan")} for step in range(200)],
    ],
    ids=["one point", "one validation", "validation before training", "never finite", "diverged"],
)
def test_a_learning_curve_can_be_drawn_from(records):
    pixels(learning_curve(records))


def test_the_validation_panel_shows_the_validations(history):
    without = [{"step": record["step"], "loss": record["loss"]} for record in history]
    assert learning_curve(history) != learning_curve(without)


def test_episodes_that_are_all_perfect_make_one_bar():
    pixels(episode_histogram(answers([[0, 1]] * 3, [[0, 1]] * 3, 2)))


def test_a_wrong_answer_is_framed_red_and_a_right_one_green():
    def frame_colours(answer: str) -> tuple[bool, bool]:
        blank = np.zeros((1, 8, 8, 3), dtype=np.uint8)
        image = pixels(support_picture(SupportPicture(blank, ["cat"], blank, ["cat"], [answer]))).astype(int)
        red = (image[..., 0] > image[..., 1] + 120).any()
        green = (image[..., 1] > image[..., 0] + 60).any()
        return bool(red), bool(green)

    assert frame_colours("cat") == (False, True)
    assert frame_colours("dog") == (True, False)


def test_the_users_own_settings_neither_change_the_pictures_nor_are_changed(results):
    plain = episode_histogram(results)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "savefig.bbox": "tight"}):
        assert episode_histogram(results) == plain
        assert matplotlib.rcParams["font.size"] == 30
