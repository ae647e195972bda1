"""Numbers and settings in the words that the text report and the HTML page share."""

from collections.abc import Mapping
from typing import Any

BN_MODES = {
    "batch": "transductive: the queries of an episode are normalised together",
    "support": "inductive: queries are normalised with the statistics of the support set",
    "running": "inductive: queries are normalised with running statistics of the training",
    "with_support_single": "inductive: each query is normalised alone with the support set",
    "none": "inductive: no batch statistics are used",
}


def bn_mode(mode: Any) -> str:
    """'batch (transductive: ...)': whether a prediction may depend on the other queries."""
    return f"{mode} ({BN_MODES[mode]})" if mode in BN_MODES else str(mode)


def percent(metric: Mapping[str, Any], plus_minus: str) -> str:
    """'97.68 % ± 0.32 %' of a metric that is a fraction."""
    if metric["mean"] is None:
        return "not a number"
    mean = f"{100 * metric['mean']:.2f} %"
    return mean if metric["ci95"] is None else f"{mean} {plus_minus} {100 * metric['ci95']:.2f} %"


def number(metric: Mapping[str, Any], plus_minus: str) -> str:
    """'0.0832 ± 0.0102'."""
    if metric["mean"] is None:
        return "not a number"
    mean = f"{metric['mean']:.4f}"
    return mean if metric["ci95"] is None else f"{mean} {plus_minus} {metric['ci95']:.4f}"


def setting(episode: Mapping[str, Any]) -> str:
    return (
        f"{episode['ways']}-way {episode['shots']}-shot" if "ways" in episode else f"{episode['shots']}-shot"
    )


def episodes(episode: Mapping[str, Any]) -> str:
    per_class = " per class" if "ways" in episode else ""
    count = f", {episode['count']} episodes" if "count" in episode else ""
    return f"{setting(episode)}, {episode['queries']} queries{per_class}{count}"


def overlap(classes: Any) -> str:
    return f"classes in more than one split: {classes}" if classes else "no class stands in two splits"


def order(value: Any) -> str:
    return "none" if value is None else str(value)


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "not measured"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
