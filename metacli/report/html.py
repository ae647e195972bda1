"""The report as one self-contained page: no script, no file beside it, no address outside it."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

from metacli.report import wording

OPEN_ROWS = 30  # a table of more classes is folded, and its worst classes stand above it
WORST = 10

# image name -> (heading, what it shows: its alternative text, how to read it)
FIGURES = {
    "features_curve": (
        "Fitting the features",
        "Loss of the autoencoder and its error on images that were held out, over epochs",
        "The autoencoder learns to restore meta-train images from themselves with noise; some of them are held out.",
    ),
    "pretrain_curve": (
        "Pretraining",
        "Loss of the classifier and what validation measured, over epochs",
        "The classifier learns to tell the meta-train classes apart; validation takes the nearest class mean of its "
        "features, on episodes of the validation classes.",
    ),
    "learning_curve": (
        "Training",
        "Training loss and what validation measured, over outer steps",
        "The band is the 95 % confidence interval over validation episodes. Nothing here touches the test split.",
    ),
    "episodes": (
        "Spread over episodes",
        "Histogram of the results of the episodes",
        "Each test episode is one small task. The line is their mean, the band its 95 % confidence interval: "
        "the interval of the mean, not the range of the episodes.",
    ),
    "confusion": (
        "Confusions",
        "Confusion matrix: true classes against answers",
        "All test queries together. An episode holds a few classes, and only classes that met in an episode "
        "can be confused; pairs that never met are grey.",
    ),
    "curves": (
        "Some episodes",
        "True and predicted values of the first test episodes, with the points that were given",
        "What the learner was given of each function (triangles), and its answers, joined to what is true.",
    ),
    "errors": (
        "Predicted against true",
        "Scatter of predicted against true values",
        "All test queries together; on the line a prediction is right.",
    ),
    "support": (
        "One episode",
        "Support images and queries of one test episode, with wrong answers marked",
        "What the learner was given of each class (at most five images are shown), and some of its answers.",
    ),
}


def html_page(
    summary: Mapping[str, Any],
    images: Mapping[str, bytes],
    config_yaml: str,
    command: str,
    examples: Sequence[Mapping[str, Any]] = (),
) -> str:
    """images: PNG bytes by name, shown in the order of FIGURES where present; command: what repeats the run; examples:
    see TaggingResults.examples."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        files("metacli.report").joinpath("report.html.jinja").read_text("utf-8")
    )
    classes = summary["per_class"]
    return template.render(
        summary=summary,
        metrics=summary["metrics"],
        primary=summary["primary"],
        answers=max(entry["n"] for entry in summary["metrics"].values() if entry["ci95"] is None),
        protocol=summary["protocol"],
        run=summary["run"],
        test=summary["protocol"]["episode"][summary["protocol"]["split"]],
        worst=sorted(classes, key=lambda entry: entry["f1"])[:WORST] if len(classes) > OPEN_ROWS else [],
        figures=[
            {
                "name": name,
                "heading": heading,
                "shows": shows,
                "caption": caption,
                "data": _base64(images[name]),
            }
            for name, (heading, shows, caption) in FIGURES.items()
            if name in images
        ],
        examples=examples,
        hues=_hues(examples),
        config_yaml=config_yaml,
        command=command,
        wording=wording,
    )


def _hues(examples: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Degrees of the colour circle for each type, neighbours in the alphabet far apart."""
    pieces = [piece for example in examples for side in ("true", "predicted") for piece in example[side]]
    kinds = sorted({piece["kind"] for piece in pieces} - {""})
    return {kind: place * 137 % 360 for place, kind in enumerate(kinds)}


def _base64(png: bytes) -> str:
    return b64encode(png).decode()
