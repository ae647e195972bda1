"""Robust accuracy beside the clean one, in all forms of the report; nothing of it where nothing was attacked."""

import json

import numpy as np
import pytest

from metacli.metrics import mean_ci95
from metacli.report.html import html_page
from metacli.report.results import robustness, summarise
from metacli.report.tables import text_report

ATTACK = {"name": "pgd", "epsilon": 0.1, "train_on": "query", "episodes": 30, "step": 0.25, "steps": 7}


@pytest.fixture
def withstood():
    random = np.random.default_rng(0)
    return np.minimum.accumulate(random.random((30, 20, 4)) < [0.9, 0.8, 0.7, 0.6], axis=2)


@pytest.fixture
def attacked(results, protocol, run, withstood):
    robust = robustness((0.0, 0.05, 0.1, 0.2), withstood)
    return summarise(results, protocol | {"attack": ATTACK}, run, "", robust)


def test_each_epsilon_has_the_mean_over_its_episodes(attacked, withstood):
    entries = json.loads(json.dumps(attacked))["robust"]
    assert [entry["epsilon"] for entry in entries] == [0.0, 0.05, 0.1, 0.2]
    for number, entry in enumerate(entries):
        mean, ci95 = mean_ci95(withstood[..., number].mean(1))
        assert entry == {
            "epsilon": entry["epsilon"], "mean": mean, "ci95": ci95, "n": 30, "unit": "fraction",
        }  # fmt: skip


def test_the_text_has_a_line_for_each_epsilon_and_one_for_the_attack(attacked, withstood):
    text = text_report(attacked)
    mean = 100 * withstood[..., 2].mean()
    assert f"robust at 0.1      {mean:.2f} +- " in text
    assert "(95 % CI over 30 episodes)" in text
    assert text.index("robust at 0 ") < text.index("robust at 0.05 ") < text.index("robust at 0.2 ")
    said = " ".join(text.split())
    assert "attack pgd: epsilon 0.1, episodes 30, step 0.25, steps 7; in training on query" in said
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_page_has_a_table_of_them(attacked):
    page = html_page(attacked, {}, "", "")
    assert "Under attack" in page
    for epsilon in ("0", "0.05", "0.1", "0.2"):
        assert f'<th scope="row">{epsilon}</th>' in page
    assert "in training on query" in page


def test_without_an_attack_nothing_is_said_of_one(summary):
    assert "robust" not in summary
    assert "robust" not in text_report(summary)
    assert "attack" not in html_page(summary, {}, "", "").lower()
