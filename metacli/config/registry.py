"""Names in a config -> code. A config can only name what stands here, or what an installed package adds.

Each entry also declares what the component accepts and needs; `compatibility.py` is what reads that. Other
packages add entries under the entry-point group "metacli", named "<group>.<name>", each pointing at a Component.
"""

import ast
import importlib
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from metacli.config import schema
from metacli.errors import UserError, suggest
from metacli.letters import brief


@dataclass(frozen=True)
class Component:
    """`target` is "module:Class", imported when used.

    kinds: task kinds it handles · inputs: what a backbone takes, by what an item is · second_order: can be
    differentiated twice · weights: has some of its own · trains: has an outer loop · fixed_ways: its head is built
    for one number of ways · sources: of a data set, makes a source of episodes for each split of what it built ·
    extra: the optional package that it needs, and metacli's extra of the same name.
    """

    target: str
    schema: type[schema.Node]
    kinds: tuple[str, ...] = ("classify",)
    second_order: bool = True
    weights: bool = True
    trains: bool = True
    fixed_ways: bool = False
    extra: str = ""
    inputs: tuple[str, ...] = ("image",)
    sources: str = "metacli.data.images:sources"

    @property
    def summary(self) -> str:
        """First sentence of the module's docstring, read without importing it."""
        spec = find_spec(self.target.partition(":")[0])
        text = ast.get_docstring(ast.parse(Path(str(spec and spec.origin)).read_text(encoding="utf-8"))) or ""
        return " ".join(text.split("\n\n")[0].split())


_MAML = Component("metacli.paradigms.maml:MAML", schema.MAML, kinds=("classify", "regress"), fixed_ways=True)
_ANYTHING = ("image", "vector")

_BUILT_IN: dict[str, dict[str, Component]] = {
    "dataset": {
        "glyphs": Component("metacli.data.glyphs:Glyphs", schema.Glyphs),
        "omniglot": Component("metacli.data.omniglot:Omniglot", schema.Omniglot),
        "imagefolder": Component("metacli.data.imagefolder:ImageFolder", schema.ImageFolder),
        "digits": Component("metacli.data.digits:Digits", schema.Digits),
        "sinusoid": Component(
            "metacli.data.sinusoid:Sinusoid", schema.Sinusoid, sources="metacli.data.functions:sources"
        ),
    },
    "backbone": {
        "conv4": Component("metacli.backbones.conv4:Conv4", schema.Conv4),
        "resnet12": Component("metacli.backbones.resnet12:ResNet12", schema.ResNet12),
        "cnn": Component("metacli.backbones.cnn:CNN", schema.CNN),
        "rnn": Component("metacli.backbones.rnn:RNN", schema.RNN),
        "mlp": Component("metacli.backbones.mlp:MLP", schema.MLP, inputs=_ANYTHING),
        "pixels": Component(
            "metacli.backbones.pixels:Pixels", schema.Pixels, weights=False, inputs=_ANYTHING
        ),
    },
    "optimizer": {
        "adam": Component("torch.optim:Adam", schema.Optimizer),
        "adamw": Component("torch.optim:AdamW", schema.Optimizer),
        "sgd": Component("torch.optim:SGD", schema.SGD),
    },
    "paradigm": {
        "maml": _MAML,
        "anil": _MAML,
        "fomaml": _MAML,
        "joint": replace(_MAML, schema=schema.Joint, kinds=("regress",)),
        "protonet": Component("metacli.paradigms.protonet:ProtoNet", schema.ProtoNet, weights=False),
        "nearest_centroid": Component(
            "metacli.paradigms.nearest_centroid:NearestCentroid",
            schema.NearestCentroid,
            weights=False,
            trains=False,
        ),
    },
    "tracker": {
        "jsonl": Component("metacli.trackers.jsonl:Jsonl", schema.Jsonl),
        "tensorboard": Component(
            "metacli.trackers.tensorboard:TensorBoard", schema.TensorBoard, extra="tensorboard"
        ),
        "wandb": Component("metacli.trackers.wandb:WandB", schema.WandB, extra="wandb"),
        "mlflow": Component("metacli.trackers.mlflow:MLflow", schema.MLflow, extra="mlflow"),
    },
}

# Groups of which a run may have several components, or none. Each stands under its name: tracker.wandb.project.
SEVERAL = ("tracker",)


@cache
def components(group: str) -> dict[str, Component]:
    """Every component of a group, built in or added by an installed package."""
    found = dict(_BUILT_IN[group])
    for entry in entry_points(group="metacli"):
        kind, _, name = entry.name.partition(".")
        if kind == group:
            found[name] = entry.load()
    return found


def groups() -> tuple[str, ...]:
    """Those of which a run has one component, which its config names."""
    return tuple(group for group in _BUILT_IN if group not in SEVERAL)


def component(group: str, name: str) -> Component:
    known = components(group)
    if name not in known:
        raise UserError(f"{group}.name={brief(name)}: no such {group}", suggest(name, known))
    return known[name]


def load(target: str) -> Any:
    """Import "module:Class"."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
