import csv
import io

import numpy as np
import pytest

from metacli.report.stream import Stream

# Before the change 0.8 in the mean of two, then 0.2, which rises and ends at 0.7.
ACCURACY = [0.7, 0.9, 0.7, 0.9, 0.1, 0.3, 0.4, 0.6, 0.8, 0.58, 0.7, 0.7]


@pytest.fixture
def stream():
    loss = 1 - np.array(ACCURACY)
    return Stream(accuracy=np.array(ACCURACY), loss=loss, change="invert", after=4, window=2)


def test_accuracy_is_averaged_over_the_last_tasks(stream):
    expected = [np.mean(ACCURACY[end - 2 : end]) for end in range(2, 13)]
    np.testing.assert_allclose(stream.windows, [np.nan, *expected])


def test_it_has_recovered_once_a_window_behind_the_change_is_within_two_points_of_the_last(stream):
    """Of the windows behind it, which end after 2, 3, ... tasks, 0.2 0.35 0.5 0.7 0.69 0.64 0.7 are the means."""
    assert stream.recovery == 5
    assert stream.summary() == {
        "tasks": 12,
        "change": "invert",
        "after": 4,
        "window": 2,
        "cumulative_loss": pytest.approx(12 - sum(ACCURACY)),
        "accuracy": pytest.approx(np.mean(ACCURACY)),
        "accuracy_before": pytest.approx(0.8),
        "accuracy_just_after": pytest.approx(0.2),
        "accuracy_at_the_end": pytest.approx(0.7),
        "recovery": 5,
    }


def test_a_window_that_reaches_back_over_the_change_is_no_recovery(stream):
    late = Stream(
        accuracy=np.array([1.0] * 6 + [0.0] * 6), loss=stream.loss, change="blur", after=6, window=3
    )
    assert late.recovery == 3


def test_the_table_has_a_row_a_task(stream):
    rows = list(csv.DictReader(io.StringIO(stream.csv())))
    assert [float(row["accuracy"]) for row in rows] == ACCURACY
    assert [row["window_accuracy"] for row in rows][:2] == ["", "0.8"]
    assert float(rows[-1]["cumulative_loss"]) == pytest.approx(12 - sum(ACCURACY))


def test_the_picture_is_one_and_the_text_has_the_numbers(stream):
    assert stream.picture().startswith(b"\x89PNG")
    text = " ".join(stream.text())
    assert all(number in text for number in ("80.00 %", "20.00 %", "70.00 %", "5 tasks after", "4.62 nats"))
