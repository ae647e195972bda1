"""Weights that an earlier run left, put into a learner."""

from pathlib import Path

from torch import nn

from metacli.checkpoint import load_weights
from metacli.errors import UserError
from metacli.learner import Learner
from metacli.rundir import RunFolder


def load_into(learner: Learner, path: Path) -> None:
    """Raises UserError where the weights are those of another network."""
    try:
        learner.load_state_dict(load_weights(path))
    except RuntimeError:
        raise UserError(
            f"{path}: these weights do not fit the network",
            "keep the backbone, the head, its ways and the image size of the run",
        ) from None


def backbone_of(learner: Learner) -> nn.Module:
    """The part that turns items into features, wherever the paradigm keeps it."""
    return next(module for name, module in learner.named_modules() if name.rpartition(".")[2] == "backbone")


def start_from(learner: Learner, run: RunFolder) -> None:
    """Copy the backbone of an earlier run, whatever paradigm trained it."""
    found = {
        name.rpartition("backbone.")[2]: tensor
        for name, tensor in load_weights(run.best).items()
        if "backbone." in name
    }
    own = {name: tensor for name, tensor in learner.state_dict().items() if "backbone." in name}
    shapes = {name.rpartition("backbone.")[2]: tensor.shape for name, tensor in own.items()}
    if not own or shapes != {name: tensor.shape for name, tensor in found.items()}:
        raise UserError(
            f"run.init_from={run.path}: its backbone is another one",
            "choose the same backbone, width, norm and image size as that run",
        )
    learner.load_state_dict({name: found[name.rpartition("backbone.")[2]] for name in own}, strict=False)
