"""The mean over several trainings, and how far to trust it."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Pooled:
    """mean: None where it is no number · ci95: None where nothing tells it · spread: None for one seed."""

    mean: float | None
    ci95: float | None
    spread: float | None


def pooled(means: Sequence[float | None], intervals: Sequence[float | None]) -> Pooled:
    """The mean over S seeds; how far it may lie from that over all seeds and all test episodes; the spread.

    variance = s²/S + mean over seeds of (ci95/1.96)², where s is the standard deviation of the S means. The second
    part is not divided by S, since all seeds answer the same test episodes. It counts the noise that is a seed's and
    an episode's together twice, so the interval is rather too wide than too narrow. Student's t with the degrees of
    freedom of Welch and Satterthwaite; infinitely many episodes are taken for enough.
    One seed says nothing of seeds: its interval is over episodes alone.
    """
    numbers = [mean for mean in means if mean is not None]
    if len(numbers) < len(means):
        return Pooled(None, None, None)
    known = [ci95 for ci95 in intervals if ci95 is not None]
    if len(numbers) == 1:
        return Pooled(numbers[0], intervals[0], None)
    of_seeds = statistics.variance(numbers) / len(numbers)
    of_episodes = statistics.fmean((ci95 / 1.96) ** 2 for ci95 in known) if known else 0.0
    both = of_seeds + of_episodes
    quantile = _student((len(numbers) - 1) * (both / of_seeds) ** 2) if of_seeds else 1.96
    return Pooled(statistics.fmean(numbers), quantile * math.sqrt(both), math.sqrt(of_seeds * len(numbers)))


def _student(freedom: float) -> float:
    """The 97.5 % quantile."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, 0.975))
