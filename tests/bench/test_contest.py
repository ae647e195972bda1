"""What scripts/bench/peers needs of no peer: metacli and the plain definition are handed the same work."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).resolve().parents[2] / "scripts" / "bench"))

from contest.cases import CASES, GRID, Case, Contender
from contest.contenders import CONTENDERS, metacli_learner, plain, sampling
from contest.race import Played, Result
from contest.table import lines, wrong
from contest.work import Work

SMALL = Work("maml", "conv4_stride", tasks=3, ways=3, queries=2, width=4)
RESNET = replace(SMALL, backbone="resnet12", tasks=1, ways=2, queries=1)


@pytest.fixture(autouse=True)
def _deterministic_only_inside():
    yield
    torch.set_deterministic_debug_mode("default")


def played(entry, work):
    entry = entry.Entry(work, torch.device("cpu"), 1, torch.float64)
    entry.step()
    return entry.outcome()


@pytest.mark.parametrize(
    "work",
    [
        SMALL,
        replace(SMALL, steps=2, backbone="conv4_max_pool"),
        replace(SMALL, order="first", shots=2),
        replace(SMALL, inner="head"),
        replace(SMALL, training=False),
        replace(SMALL, method="protonet"),
        replace(SMALL, method="protonet", shots=2, one_batch=True),
        replace(SMALL, method="protonet", training=False),
        RESNET,
        replace(RESNET, method="protonet"),
    ],
)
def test_metacli_computes_what_the_plain_definition_does(work):
    torch.testing.assert_close(played(metacli_learner, work), played(plain, work), rtol=1e-7, atol=1e-10)


def test_every_case_is_played_by_contenders_that_exist():
    for case in (CASES | GRID).values():
        assert {each.plays for each in case.contenders} <= set(CONTENDERS)
        assert len({each.name for each in case.contenders}) == len(case.contenders)


def test_a_meta_batch_is_sampled_without_anything_to_compare(monkeypatch):
    monkeypatch.setattr(sampling, "CLASSES", 8)
    assert played(sampling, SMALL) is None


def test_the_ratio_is_taken_round_by_round_and_what_is_not_the_same_is_named():
    slow = Result("slow", rates=[1.0, 10.0, 2.0], error=1e-6, exact=None, flops=1e9, peak=10**9)
    fast = Result("fast", rates=[2.0, 20.0, 3.0], error=2e-4, exact=1e-3, flops=1e9, peak=2 * 10**9)
    shown = Played([slow, fast], sgemm=[3e9, 4e9])
    case = Case("small", (Contender("plain", SMALL), Contender("metacli", SMALL)), floor=1.5)
    row = next(line for line in lines("case", case, shown) if "fast" in line)
    assert row.split() == ["fast", "3.00", "[2.00-20.0]", "2.00x", "2.00", "75", "%", "2e-04*"]
    assert wrong(shown) == ["fast: 2e-04 from float64, 1e-03 in float64 itself"]
