"""Which parameters move: one vocabulary for the inner loop, the outer loop and test-time fine-tuning."""

from collections.abc import Iterable, Sequence

from torch import nn

from metacli.errors import UserError

MOVES = ("features", "backbone", "last_block", "norm", "bias", "lora", "head")

_FEATURES = "backbone.fitted."


def moving(network: nn.Module, moves: Sequence[str], key: str = "moves") -> tuple[str, ...]:
    """Names of the parameters of `network` (children `backbone` and `head`) that `moves` covers, in order.

    Where there are features, they and the backbone on them are children of `backbone`: features move by their own name
    alone. What LoRA adds moves as lora alone.

    Raises UserError, naming the config `key`, where that is none.
    """
    names = [name for name, _ in network.named_parameters()]
    norms = _norms(network)
    own = "backbone.backbone" if any(name.startswith(_FEATURES) for name in names) else "backbone"
    last_block = _last_block(network, own)
    covered = tuple(name for name in names if any(_covers(move, name, last_block, norms) for move in moves))
    if not covered:
        raise UserError(
            f"{key}=[{','.join(moves)}]: this network has no such parameters",
            "lora needs a rank: backbone.lora=4" if "lora" in moves else "add head or backbone",
        )
    return covered


def of_norms(network: nn.Module) -> tuple[str, ...]:
    """Names of what `norm` covers, in order; of some networks that is nothing."""
    norms = _norms(network)
    return tuple(name for name, _ in network.named_parameters() if _covers("norm", name, (), norms))


def _norms(network: nn.Module) -> set[str]:
    return {name for name, module in network.named_modules() if "Norm" in type(module).__name__}


def _last_block(network: nn.Module, own: str) -> tuple[str, ...]:
    """What the names of its parameters begin with: as a backbone says, else that of the last of its `blocks`."""
    declared = getattr(network.get_submodule(own), "last_block", ())
    if declared:
        return tuple(f"{own}.{name}" for name in declared)
    blocks = [name for name, _ in network.named_modules() if name.startswith(f"{own}.blocks.")]
    last = blocks[-1].removeprefix(f"{own}.blocks.").partition(".")[0] if blocks else ""
    return (f"{own}.blocks.{last}." if blocks else f"{own}.",)


def _covers(move: str, name: str, last_block: tuple[str, ...], norms: Iterable[str]) -> bool:
    if name.startswith(_FEATURES):
        return move == "features"
    if ".lora." in name:
        return move == "lora"
    match move:
        case "features" | "lora":
            return False
        case "backbone" | "head":
            return name.startswith(f"{move}.")
        case "last_block":
            return name.startswith(last_block)
        case "norm":
            return name.rpartition(".")[0] in norms
        case "bias":
            return name.endswith(".bias")
        case _:
            raise ValueError(f"{move!r} is not one of {MOVES}")
