import math

import numpy as np
import pytest
from sklearn.metrics import classification_report

from metacli.metrics import (
    classification_scores,
    expected_calibration_error,
    mean_ci95,
    scope_scores,
    scope_threshold,
)


def test_the_interval_is_1_96_population_deviations_of_the_mean():
    mean, half = mean_ci95([1.0, 2.0, 3.0, 4.0])
    assert mean == 2.5
    assert half == pytest.approx(1.96 * math.sqrt(1.25) / 2)


def test_one_value_has_an_interval_of_zero():
    assert mean_ci95([0.4]) == (0.4, 0.0)


@pytest.mark.parametrize("diverged", [math.nan, math.inf])
def test_a_value_that_is_not_finite_shows_in_the_mean_without_a_warning(diverged):
    assert not math.isfinite(mean_ci95([1.0, diverged])[0])


def test_the_calibration_error_weighs_each_bins_gap_by_its_items():
    confidence = np.array([0.95, 0.95, 0.95, 0.55])
    correct = np.array([True, False, False, True])
    # (0.9, 1]: confidence 0.95 against accuracy 1/3, three of four items; (0.5, 0.6]: 0.55 against 1, one of four
    expected = 0.75 * (0.95 - 1 / 3) + 0.25 * (1 - 0.55)
    assert expected_calibration_error(confidence, correct, bins=10) == pytest.approx(expected)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    error = expected_calibration_error(np.array([0.5, 0.75]), np.array([True, False]), bins=2)
    assert error == pytest.approx((0.5 + 0.75) / 2)


def test_certain_and_right_answers_are_calibrated():
    assert expected_calibration_error(np.ones((2, 3)), np.ones((2, 3), dtype=bool)) == 0


def test_zero_confidence_stays_in_the_first_bin():
    assert expected_calibration_error(np.zeros(4), np.zeros(4, dtype=bool)) == 0


def test_confidences_that_are_not_finite_have_no_calibration_error():
    assert math.isnan(expected_calibration_error(np.array([0.5, math.nan]), np.array([True, True])))


def test_the_scores_are_those_of_scikit_learn():
    random = np.random.default_rng(0)
    truth, predicted = random.integers(0, 7, (2, 30, 10))
    rows, averages = classification_scores(truth, predicted)
    report = classification_report(truth.ravel(), predicted.ravel(), output_dict=True)
    for key, scores in [
        *rows.items(),
        ("macro avg", averages["macro"]),
        ("weighted avg", averages["weighted"]),
    ]:
        expected = report[str(key)]
        assert scores == pytest.approx(
            (expected["precision"], expected["recall"], expected["f1-score"], expected["support"])
        )
    assert list(rows) == sorted(rows)
    assert averages["micro"][:3] == pytest.approx([report["accuracy"]] * 3)


def test_a_class_that_was_only_answered_has_a_row_of_zeros_and_micro_stays_the_accuracy():
    rows, averages = classification_scores(np.array([[3, 3, 5, 5]]), np.array([[3, 9, 5, 5]]))
    assert list(rows) == [3, 5, 9]
    assert rows[9] == (0.0, 0.0, 0.0, 0)
    assert rows[3] == pytest.approx((1.0, 0.5, 2 / 3, 2))
    assert averages["micro"] == pytest.approx((0.75, 0.75, 0.75, 4))


def test_the_threshold_of_scope_finds_most_of_no_class_and_least_of_others():
    inside, outside = np.array([[0.9, 0.5, 0.8], [0.7, 0.95, 0.6]]), np.array([0.3, 0.55, 0.2])
    threshold = scope_threshold(inside, outside)
    assert threshold == 0.55  # finds all three, and one of six others: 5/6; 0.3 finds two alone, 2/3
    found = scope_scores(inside, outside, threshold)
    assert found == {"precision": 3 / 4, "recall": 1.0, "auroc": pytest.approx(17 / 18)}
    assert scope_threshold(np.tile(inside, 50), outside) == threshold
    assert scope_scores(inside, outside, 0.1)["precision"] == 0.0
