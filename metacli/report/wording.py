"""Numbers and settings in the words that the text report and the HTML page share."""

from collections.abc import Mapping
from typing import Any

from metacli.metrics import METRICS, shown

BN_MODES = {
    "batch": "transductive: the queries of an episode are normalised together",
    "support": "inductive: queries are normalised with the statistics of the support set",
    "running": "inductive: queries are normalised with running statistics of the training",
    "with_support_single": "inductive: each query is normalised alone with the support set",
    "none": "inductive: no batch statistics are used",
}
BY_METHOD = "transductive: the method answers the queries of an episode together"


def bn_mode(protocol: Mapping[str, Any]) -> str:
    """'batch (transductive: ...)': may a prediction depend on other queries; and whose statistics trained it."""
    mode = protocol["bn_mode"]
    if mode not in BN_MODES:
        return str(mode)
    step = protocol.get("bn_statistics") == "step"
    together = "; in training, all tasks of a step are normalised together" if step else ""
    said = BY_METHOD if protocol.get("transductive_method") else BN_MODES[mode]
    return f"{mode} ({said}{together})"


def metric(name: str, entry: Mapping[str, Any], plus_minus: str = "±") -> str:
    """'97.68 ± 0.32 %' or '0.0832 ± 0.0102' of an entry of report.json's metrics."""
    return shown(name, entry["mean"], entry["ci95"], plus_minus)


def value(name: str, number: float | None) -> str:
    """'97.68 %' or '0.0832'."""
    return shown(name, number, None)


def words(name: str) -> str:
    """'macro F1', 'loss (nats)'"""
    metric = METRICS[name]
    return metric.words if metric.unit in ("", "fraction") else f"{metric.words} ({metric.unit})"


def over(protocol: Mapping[str, Any]) -> str:
    """What a mean is over: episodes, or the items of a split that was asked as a whole."""
    asked = protocol["episode"][protocol["split"]]
    return _items(asked) if "whole" in asked else "episodes"


def basis(name: str, entry: Mapping[str, Any], what: str = "episodes") -> str:
    """What a metric is of: a mean over episodes, or see `over`, with its interval, or one figure over all answers."""
    if entry["ci95"] is not None:
        return f"95 % CI over {entry['n']} {what}"
    return f"{'15 bins, ' if name == 'calibration_error' else ''}{entry['n']} answers together"


def _items(whole: Mapping[str, Any]) -> str:
    return str(whole.get("of", "sentences"))  # which earlier reports were all of


def setting(episode: Mapping[str, Any]) -> str:
    if "whole" in episode:
        return "all of the split"
    return (
        f"{episode['ways']}-way {episode['shots']}-shot" if "ways" in episode else f"{episode['shots']}-shot"
    )


def queries(episode: Mapping[str, Any]) -> str:
    if "whole" in episode:
        return f"{episode['whole']} {_items(episode)}"
    return f"{episode['queries']} queries" + (" per class" if "ways" in episode else "")


def episodes(episode: Mapping[str, Any]) -> str:
    count = f", {episode['count']} episodes" if "count" in episode else ""
    return f"{setting(episode)}, {queries(episode)}{count}"


def overlap(classes: Any) -> str:
    return f"classes in more than one split: {classes}" if classes else "no class stands in two splits"


def order(value: Any) -> str:
    return "none" if value is None else str(value)


def inner_steps(steps: Mapping[str, int] | None) -> str:
    return "none" if not steps else f"{steps['train']} in training, {steps['test']} in evaluation"


def inner_loss(reduction: str | None) -> str:
    """Of an inner step."""
    return {
        None: "none",
        "mean": "mean over the support set",
        "sum_over_k": "sum over the support set / shots",
    }[reduction]


def features(facts: Mapping[str, Any]) -> str:
    """'pca, frozen', 'pca, not fitted, trained by the outer loop'"""
    how = {
        (): "frozen",
        ("outer",): "trained by the outer loop",
        ("outer", "inner"): "trained by the outer loop, adapted by the inner loop",
        ("inner",): "adapted by the inner loop alone",
    }[tuple(facts["moved_by"])]
    return f"{facts['name']}{'' if facts['fitted'] else ', not fitted'}, {how}"


def stage(facts: Mapping[str, Any]) -> str:
    """'20 epochs of 900 images of 50 meta-train classes, epoch 18 kept: accuracy 81.20 %'"""
    epochs = f"{facts['epochs']} epochs of " if "epochs" in facts else ""
    what = next(name for name in ("images", "sentences", "texts") if name in facts)
    said = f"{epochs}{facts[what]} {what} of {facts['classes']} meta-train classes"
    if "best_epoch" in facts:
        said += f", epoch {facts['best_epoch']} kept"
    measured = [
        f"{METRICS[name].words} {shown(name, number, None)}" for name, number in facts["measured"].items()
    ]
    return f"{said}: {', '.join(measured)}" if measured else said


def attack(settings: Mapping[str, Any]) -> str:
    """'pgd: epsilon 0.1, step 0.25, ..., trained on query'"""
    values = {key: value for key, value in settings.items() if key not in ("name", "train_on")}
    said = ", ".join(f"{key} {value:g}" for key, value in values.items())
    return f"{settings['name']}: {said}; in training on {settings['train_on']}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "not measured"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def out_of_scope(entry: Mapping[str, Any]) -> str:
    """'recall 71.20 %, precision 60.10 % below a confidence of 0.312 (chosen on validation), AUROC 0.931 ...'"""
    return (
        f"recall {100 * entry['recall']:.2f} %, precision {100 * entry['precision']:.2f} % up to a confidence of"
        f" {entry['threshold']:.3f}, chosen on validation episodes; AUROC {entry['auroc']:.3f}"
        f" ({entry['outside']} queries of no class beside {entry['inside']} others)"
    )
