"""metacli: few-shot and meta-learning experiments from one command, or from Python.

    from metacli import evaluate, load, train

Nothing is imported until it is used: the command has to answer at once.
"""

import os

TYPE_CHECKING = False  # as in typing, which takes longer to import than all that is here

if TYPE_CHECKING:
    from metacli.errors import UserError
    from metacli.library.predictor import ClassPredictor, Predictions
    from metacli.library.runs import FinishedRun, evaluate, train
    from metacli.library.tags import TaggedSentences, TagPredictor
    from metacli.library.trained import TrainedLearner, load

__version__ = "0.1.0"

__all__ = [
    "ClassPredictor",
    "FinishedRun",
    "Predictions",
    "TagPredictor",
    "TaggedSentences",
    "TrainedLearner",
    "UserError",
    "evaluate",
    "load",
    "train",
]

# Threads that wait for each other should sleep soon, not spin: on a machine that does anything else, spinning
# made a training step up to 40 times slower, and on a quiet one sleeping costs nothing. OpenMP reads this when
# torch is first imported.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

_MODULES = {
    "ClassPredictor": "library.predictor",
    "FinishedRun": "library.runs",
    "Predictions": "library.predictor",
    "TagPredictor": "library.tags",
    "TaggedSentences": "library.tags",
    "TrainedLearner": "library.trained",
    "UserError": "errors",
    "evaluate": "library.runs",
    "load": "library.trained",
    "train": "library.runs",
}

if not TYPE_CHECKING:  # else a misspelt name would pass for anything

    def __getattr__(name: str) -> object:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
