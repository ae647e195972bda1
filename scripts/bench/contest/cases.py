"""The cases, as data. The first contender of a case is what the others are compared with.

`floor`: how many times faster than that metacli is meant to be at least.
"""

import itertools
from dataclasses import dataclass, replace

from contest.work import Work


@dataclass(frozen=True)
class Contender:
    """`plays`: a key of contest.contenders.CONTENDERS · `label`: its row, where `plays` does not say enough."""

    plays: str
    work: Work
    label: str = ""

    @property
    def name(self) -> str:
        return self.label or self.plays


@dataclass(frozen=True)
class Case:
    about: str
    contenders: tuple[Contender, ...]
    floor: float | None = None


def _among(about: str, work: Work, players: tuple[str, ...], floor: float | None = None) -> Case:
    return Case(about, tuple(Contender(player, work) for player in players), floor)


_MAML = Work("maml", "conv4_stride", tasks=32)
_MAML_PEERS = ("learn2learn", "higher", "parallel-metalearn", "metacli")
_PROTONET = Work("protonet", "conv4_max_pool", tasks=1, repeats=10)
_SIXTY = replace(_PROTONET, ways=60, queries=1)
_RESNET = Work("protonet", "resnet12", tasks=1)
_ONE_QUERY = replace(_MAML, queries=1)

CASES = {
    "maml_15q_1s": _among("15 queries, 1 step", _MAML, _MAML_PEERS, 1.7),
    "maml_1q_1s": _among("1 query, 1 step", _ONE_QUERY, _MAML_PEERS, 2.9),
    "maml_1q_5s": _among("1 query, 5 steps", replace(_ONE_QUERY, steps=5), _MAML_PEERS, 2.9),
    "maml_15q_5s": _among("15 queries, 5 steps", replace(_MAML, steps=5), _MAML_PEERS, 2.3),
    "maml_max_pool": _among(
        "max-pool form, 15 queries, 1 step", replace(_MAML, backbone="conv4_max_pool"), _MAML_PEERS, 1.4
    ),
    "maml_evaluation": _among(
        "1000 episodes, 15 queries, 1 step",
        replace(_MAML, tasks=40, training=False, repeats=25),
        ("learn2learn", "metacli"),
        1.8,
    ),
    "orders_1q": Case(
        "FOMAML and ANIL against our own second order, 1 query, 1 step",
        (
            Contender("metacli", _ONE_QUERY, "metacli, second order"),
            Contender("metacli", replace(_ONE_QUERY, order="first"), "metacli, FOMAML"),
            Contender("metacli", replace(_ONE_QUERY, inner="head"), "metacli, ANIL"),
        ),
        1.5,
    ),
    "protonet_60w": _among("1 query, training step", _SIXTY, ("easyfsl", "metacli"), 1.3),
    "protonet_60w_one_batch": _among(
        "the same as the preset trains: support and queries in one batch",
        replace(_SIXTY, one_batch=True),
        ("plain", "metacli"),
    ),
    "protonet_5w": _among("15 queries, training step", _PROTONET, ("easyfsl", "metacli"), 1.3),
    "protonet_evaluation": _among(
        "1000 episodes, 15 queries",
        replace(_PROTONET, tasks=40, training=False, repeats=25),
        ("easyfsl", "metacli"),
        2.2,
    ),
    "resnet12_protonet": _among("15 queries, training step", _RESNET, ("plain", "metacli"), 1.2),
    "resnet12_maml": _among(
        "15 queries, 1 step", replace(_RESNET, method="maml", tasks=2), ("plain", "metacli"), 1.2
    ),
    "data": Case(
        "sampling and gathering a meta-batch, against the training step on it",
        (
            Contender("metacli", _MAML, "metacli, training step"),
            Contender("sampling", _MAML, "metacli, sampling"),
        ),
    ),
}

# Only where asked for: is ResNet-12 anywhere slower than the plain loop?
GRID = {
    f"grid_{ways}w{shots}s_{steps}steps_{width}wide": _among(
        f"5 queries, {steps} steps, {width} wide",
        Work("maml", "resnet12", tasks=2, ways=ways, shots=shots, queries=5, steps=steps, width=width),
        ("plain", "metacli"),
        1.0,
    )
    for ways, shots, steps, width in itertools.product((2, 5), (1, 5), (1, 3), (16, 64))
}
