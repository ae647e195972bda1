"""Which parameters move: one vocabulary for the inner loop, the outer loop and test-time fine-tuning."""

from collections.abc import Iterable, Sequence

from torch import nn

from metacli.errors import UserError

MOVES = ("backbone", "last_block", "norm", "bias", "head")


def moving(network: nn.Module, moves: Sequence[str], key: str = "moves") -> tuple[str, ...]:
    """Names of the parameters of `network` (children `backbone` and `head`) that `moves` covers, in order.

    Raises UserError, naming the config `key`, where that is none.
    """
    names = [name for name, _ in network.named_parameters()]
    norms = {name for name, module in network.named_modules() if type(module).__name__.endswith("Norm")}
    blocks = [name for name, _ in network.named_modules() if name.startswith("backbone.blocks.")]
    last = ".".join(blocks[-1].split(".")[:3]) if blocks else "backbone"
    covered = tuple(name for name in names if any(_covers(move, name, last, norms) for move in moves))
    if not covered:
        raise UserError(
            f"{key}=[{','.join(moves)}]: this network has no such parameters", "add head or backbone"
        )
    return covered


def _covers(move: str, name: str, last_block: str, norms: Iterable[str]) -> bool:
    match move:
        case "backbone" | "head":
            return name.startswith(f"{move}.")
        case "last_block":
            return name.startswith(f"{last_block}.")
        case "norm":
            return name.rpartition(".")[0] in norms
        case "bias":
            return name.endswith(".bias")
        case _:
            raise ValueError(f"{move!r} is not one of {MOVES}")
