"""A played case as lines of text."""

import statistics
from collections.abc import Iterator

from contest.cases import Case
from contest.race import LARGEST_EXACT, Played, Result


def lines(name: str, case: Case, played: Played) -> Iterator[str]:
    first = case.contenders[0].work
    yield f"{name}: {case.about}"
    yield f"  {first.method} on {first.backbone}, {first.ways}-way {first.shots}-shot, {first.tasks} tasks a step"
    yield f"  {'':<22}{'tasks/s':>8}  {'[min-max]':<12}{'ratio':>7}{'GB':>7}{'of sgemm':>10}{'error':>8}"
    peak = max(played.sgemm)
    for result in played.results:
        rate = statistics.median(result.rates)
        spread = f"[{_short(min(result.rates))}-{_short(max(result.rates))}]"
        share = f"{100 * rate * result.flops / peak:.0f} %" if result.flops else ""
        mark = "" if result.exact is None else "*"
        error = "" if result.error is None else f"{result.error:.0e}{mark}"
        ratio = f"{ratio_to(played.results[0], result):.2f}x"
        used = f"{result.peak / 1e9:.2f}"
        yield f"  {result.name:<22}{_short(rate):>8}  {spread:<12}{ratio:>7}{used:>7}{share:>10}{error:>8}"
    flops = played.results[0].flops
    yield f"  sgemm {peak / 1e9:.0f} GFLOP/s" + (f"; a task takes {flops / 1e9:.2f} GFLOP" if flops else "")
    if case.floor:
        yield f"  metacli is meant to be at least {case.floor:.1f}x the first row"
    exact = [result.exact for result in played.results if result.exact is not None]
    if exact:
        yield f"  * in float64 {max(exact):.0e}: a rounding took the other side of a ReLU or a maximum"


def ratio_to(base: Result, result: Result) -> float:
    """The median over the rounds, each of which ran both within seconds."""
    return statistics.median(own / other for own, other in zip(result.rates, base.rates, strict=True))


def wrong(played: Played) -> list[str]:
    """Who computes something else, not only with other roundings."""
    return [
        f"{result.name}: {result.error:.0e} from float64, {result.exact:.0e} in float64 itself"
        for result in played.results
        if result.error is not None and result.exact is not None and not result.exact <= LARGEST_EXACT
    ]


def _short(rate: float) -> str:
    return f"{rate:.2f}" if rate < 10 else f"{rate:.1f}" if rate < 100 else f"{rate:.0f}"
