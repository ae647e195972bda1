"""What follows from a config: for checks, for what is built, and for the report."""

from collections.abc import Sequence
from typing import Any

from metacli.config.registry import component
from metacli.config.schema import Config
from metacli.config.schema.features import Fitted
from metacli.data.table import SPLITS


def moves(config: Config, loop: str) -> Sequence[str]:
    """What of the network a loop moves, where the paradigm leaves the choice."""
    return getattr(getattr(config.paradigm, "moves", None), loop, ())


def stays_still(config: Config) -> bool:
    """Whether adapting to a task leaves the backbone as it is."""
    steps = getattr(getattr(config.paradigm, "finetune", None), "steps", 1)
    only_head = hasattr(config.paradigm, "moves") and set(moves(config, "inner")) <= {"head"}
    return component("paradigm", config.paradigm.name).still or only_head or not steps


def computes_once(config: Config) -> bool:
    """Whether evaluation can do with the features of each item, which are the same in all episodes."""
    plain = component("backbone", config.backbone.name).plain and config.features.name == "none"
    return plain and config.attack.name == "none" and stays_still(config)


def is_fitted(config: Config) -> bool:
    """Whether the run fits its features itself."""
    return isinstance(config.features, Fitted) and config.features.fit and not config.run.init_from


def asked_splits(config: Config, *, training: bool, outside: bool) -> list[str]:
    """Those that episodes are drawn from. outside: whether the data have items of no class."""
    trains = training and component("paradigm", config.paradigm.name).trains
    validates = outside or (training and component("pretrain", config.pretrain.name).trains)
    return [s for s in SPLITS if trains or (validates and s == "val") or s == config.report.split]


def has_weights(config: Config) -> bool:
    groups = ["paradigm", "backbone", *(["features"] if "features" in moves(config, "outer") else [])]
    return any(component(group, getattr(config, group).name).weights for group in groups)


def adapts(config: Config) -> bool:
    inner = getattr(config.paradigm, "inner", None)
    return inner is not None and inner.steps > 0


def features_kept(config: Config) -> dict[str, Any] | None:
    """What the report says: which features, whether they were fitted, and the loops that move them; None without."""
    name = config.features.name
    if not component("features", name).weights:
        return None
    loops = [loop for loop in ("outer", "inner") if "features" in moves(config, loop)]
    return {"name": name, "fitted": getattr(config.features, "fit", False), "moved_by": loops}


def batch_norm_mode(config: Config) -> str:
    """What the report says: bn_mode where it matters."""
    own = component("paradigm", config.paradigm.name).batch_norm
    normalised = own or getattr(config.backbone, "norm", "none") == "batch"
    return config.paradigm.bn_mode if normalised else "none"


def transductive_method(config: Config) -> bool:
    """What the report says: whether the queries of an episode are answered together, whatever bn_mode."""
    paradigm = component("paradigm", config.paradigm.name)
    return paradigm.transductive or (paradigm.takes_head and component("head", config.head.name).transductive)


def batch_norm_statistics(config: Config) -> str:
    """What the report says: whose items share statistics in training, those of a task or of a whole step."""
    return "step" if component("paradigm", config.paradigm.name).whole_step else "task"


def derivative_order(config: Config) -> str:
    """What the report says: order where something is differentiated through."""
    return getattr(config.paradigm, "order", "none") if adapts(config) else "none"


def inner_steps(config: Config) -> dict[str, int] | None:
    """What the report says: steps of adaptation, in training and to each test episode; None without an inner loop."""
    inner = getattr(config.paradigm, "inner", None)
    return None if inner is None else {"train": inner.steps, "test": inner.eval_steps}


def inner_loss(config: Config, kind: str) -> str | None:
    """What the report says: how an inner step's loss is made of its items; None without an inner loop."""
    inner = getattr(config.paradigm, "inner", None)
    if inner is None:
        return None
    return inner.loss_reduction if kind == "classify" else "mean"
