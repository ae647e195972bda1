"""The experts of MetaGrad and AdaptiveMetaGrad: what one learning rate would have played, in three forms.

An expert plays online Newton steps on the surrogate loss of its learning rate η. With x = η (w − w^η)ᵀg, w the point
that all of them make together:

    Σ⁻¹ ← Σ⁻¹ + 2η² ggᵀ        w^η ← Π( w^η − Σ (1 − 2x) ηg )        from w^η = 0, Σ = prior²·I

Letters: K experts · M games, each with experts of its own · D numbers to play in a game. Arrays are [K, M, ...], with
K = 1 for what a game has once, as its gradient g [1, M, D]. `scaled` is ηg [K, M, D].
"""

import math
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor

from metacli.episode import State

Variant = Literal["coordinate", "full", "sketched"]
VARIANTS: tuple[Variant, ...] = get_args(Variant)

_BITS = 1 / math.log(2)  # of a nat; powers of two are quicker than those of e
_NEWTON = 40  # steps to the multiplier of a projection: it converges quadratically, and from one side


class Experts(Protocol):
    """radius: of the domain, a ball or an interval around 0 · prior: the scale of Σ at the start."""

    radius: float

    def start(self, experts: int, like: Tensor) -> State:
        """What `experts` new ones keep, in games whose point [1, M, D] is like this; `W` are their points."""

    def inner(self, one: Tensor, other: Tensor) -> Tensor:
        """[K, M, D], [K, M, D] -> [K, M]."""

    def step(self, state: State, scaled: Tensor, x: Tensor) -> None:
        """In place. scaled [K, M, D] · x [K, M]."""


def experts_of(variant: Variant, *, radius: float, prior: float, sketch: int, shared: bool) -> Experts:
    """sketch: rank, where there is a sketch · shared: see `Coordinate`."""
    match variant:
        case "coordinate":
            return Coordinate(radius, prior, shared=shared)
        case "full":
            return Full(radius, prior)
        case "sketched":
            return Sketched(radius, prior, sketch)


class Coordinate:
    """Games of one number, D = 1, on an interval: Σ is a number, and the projection a clip.

    shared: all experts began together and each has half the rate of the one before, so Σ of all of them follows from
    that of the first.
    """

    def __init__(self, radius: float, prior: float, *, shared: bool) -> None:
        self.radius = radius
        self.prior = prior
        self.shared = shared

    def start(self, experts: int, like: Tensor) -> State:
        own = like.new_zeros(experts, *like.shape[1:])
        return {"W": own, "A": torch.zeros_like(like) if self.shared else own.clone()}

    def inner(self, one: Tensor, other: Tensor) -> Tensor:
        return (one * other).squeeze(-1)

    def step(self, state: State, scaled: Tensor, x: Tensor) -> None:
        points, grown = state["W"], state["A"]  # A: of Σ⁻¹, what came on top of 1/prior²
        new = scaled[: len(grown)]
        grown.addcmul_(new, new, value=2)
        if self.shared:
            grown = grown * halved(points).square().unsqueeze(2)
        slope = torch.addcmul(scaled, scaled, x.unsqueeze(-1), value=-2)
        points.addcdiv_(slope, grown + self.prior**-2, value=-1).clamp_(-self.radius, self.radius)


class Full:
    """A game of D numbers on a ball, with the whole of Σ [K, M, D, D]."""

    def __init__(self, radius: float, prior: float) -> None:
        self.radius = radius
        self.prior = prior

    def start(self, experts: int, like: Tensor) -> State:
        points = like.new_zeros(experts, *like.shape[1:])
        identity = self.prior**2 * torch.eye(like.shape[2], dtype=like.dtype, device=like.device)
        return {"W": points, "Sigma": identity.expand(*points.shape, -1).clone()}

    def inner(self, one: Tensor, other: Tensor) -> Tensor:
        return (one * other).sum(-1)

    def step(self, state: State, scaled: Tensor, x: Tensor) -> None:
        points, sigma = state["W"], state["Sigma"]
        towards = (sigma @ scaled.unsqueeze(-1)).squeeze(-1)  # Σ ηg before the update, [K, M, D]
        grown = 1 + 2 * self.inner(scaled, towards)
        # Sherman and Morrison; the new Σ ηg is the old one over `grown`.
        sigma.sub_((2 / grown)[..., None, None] * towards.unsqueeze(-1) * towards.unsqueeze(-2))
        points.sub_(((1 - 2 * x) / grown).unsqueeze(-1) * towards)
        outside = (torch.linalg.vector_norm(points, dim=-1) > self.radius).nonzero(as_tuple=True)
        if len(outside[0]):
            scales, axes = torch.linalg.eigh(sigma[outside])
            along = (axes.mT @ points[outside].unsqueeze(-1)).squeeze(-1)
            inside = along * shrinking(along, scales.clamp_min(0), self.radius)
            points[outside] = (axes @ inside.unsqueeze(-1)).squeeze(-1)


class Sketched:
    """As `Full`, with Σ⁻¹ = I/prior² + SᵀS from a frequent-directions sketch S of at most 2·rank rows of D.

    rank − 1 directions are kept; after every rank + 1 gradients the sketch shrinks to them (Luo et al. 2016).
    """

    def __init__(self, radius: float, prior: float, rank: int) -> None:
        self.radius = radius
        self.prior = prior
        self.rank = rank

    def start(self, experts: int, like: Tensor) -> State:
        _, games, size = like.shape
        return {
            "W": like.new_zeros(experts, games, size),
            "rows": like.new_zeros(experts, games, 2 * self.rank, size),
            "since": like.new_zeros(experts, games),  # gradients, since it shrank
        }

    def inner(self, one: Tensor, other: Tensor) -> Tensor:
        return (one * other).sum(-1)

    def step(self, state: State, scaled: Tensor, x: Tensor) -> None:
        points, rows, since = state["W"], state["rows"], state["since"]
        place = (self.rank - 1 + since).long()[..., None, None].expand(-1, -1, 1, rows.shape[-1])
        rows.scatter_(2, place, 2**0.5 * scaled.unsqueeze(2))
        since.add_(1)
        due = (since == self.rank + 1).nonzero(as_tuple=True)
        if len(due[0]):
            rows[due], since[due] = self._shrunk(rows[due]), 0.0
        slope = (1 - 2 * x).unsqueeze(-1) * scaled
        points.sub_(self._sigma(rows, slope))
        outside = (torch.linalg.vector_norm(points, dim=-1) > self.radius).nonzero(as_tuple=True)
        if len(outside[0]):
            points[outside] = self._projected(rows[outside], points[outside])

    def _shrunk(self, rows: Tensor) -> Tensor:
        """[J, 2·rank, D] -> the same, of which the first rank − 1 rows are not 0."""
        _, values, directions = torch.linalg.svd(rows, full_matrices=False)
        squares = values**2
        cut = squares[:, self.rank - 1 : self.rank] if squares.shape[1] >= self.rank else 0.0
        kept = min(self.rank - 1, squares.shape[1])
        shrunk = torch.zeros_like(rows)
        shrunk[:, :kept] = (squares[:, :kept] - cut).sqrt().unsqueeze(-1) * directions[:, :kept]
        return shrunk

    def _sigma(self, rows: Tensor, vector: Tensor) -> Tensor:
        """Σv by Woodbury."""
        identity = torch.eye(rows.shape[-2], dtype=rows.dtype, device=rows.device)
        inner = torch.linalg.solve(identity / self.prior**2 + rows @ rows.mT, rows @ vector.unsqueeze(-1))
        return self.prior**2 * (vector - (rows.mT @ inner).squeeze(-1))

    def _projected(self, rows: Tensor, points: Tensor) -> Tensor:
        """Along the sketch's directions one by one; what is across all of them shrinks as one."""
        _, values, directions = torch.linalg.svd(rows, full_matrices=False)
        along = (directions @ points.unsqueeze(-1)).squeeze(-1)
        across = points - (directions.mT @ along.unsqueeze(-1)).squeeze(-1)
        scales = 1 / (self.prior**-2 + values**2)
        beside = torch.linalg.vector_norm(across, dim=-1, keepdim=True)
        factors = shrinking(
            torch.cat([along, beside], -1),
            torch.cat([scales, torch.full_like(beside, self.prior**2)], -1),
            self.radius,
        )
        inside = (along * factors[:, :-1]).unsqueeze(-1)
        return (directions.mT @ inside).squeeze(-1) + factors[:, -1:] * across


def halved(experts: Tensor) -> Tensor:
    """1, ½, ¼, ... [K, 1] for an array of experts [K, ...]."""
    return 0.5 ** torch.arange(len(experts), dtype=experts.dtype, device=experts.device).unsqueeze(1)


def learn(logs: Tensor, x: Tensor) -> Tensor:
    """In place: to the logarithms of weights to base 2, minus the surrogate losses −x + x², [K, M]."""
    return logs.add_(x, alpha=_BITS).addcmul_(x, x, value=-_BITS)


def weights_of(logs: Tensor) -> Tensor:
    """2^logs, and a number too small to matter where that would underflow, which takes 30 times as long."""
    return logs.clamp_min(-80.0 if logs.dtype == torch.float32 else -900.0).exp2_()


def tilted_mean(weights: Tensor, rates: Tensor, points: Tensor) -> Tensor:
    """Σ p η w^η / Σ p η, what all experts make together, [1, M, D]; no number where all weights are 0.

    weights [K, M] up to a factor a game · rates [K, 1] likewise · points [K, M, D].
    """
    rates = rates.squeeze(1)
    made = torch.tensordot(rates, weights.unsqueeze(2) * points, 1) / torch.tensordot(
        rates, weights, 1
    ).unsqueeze(1)
    return made.unsqueeze(0)


def shrinking(point: Tensor, scales: Tensor, radius: float) -> Tensor:
    """By which each component shrinks in the projection onto a ball in the norm of Σ⁻¹.

    argmin_{‖u‖ ≤ radius} (u − point)ᵀ Σ⁻¹ (u − point) for a diagonal Σ is point / (1 + μ·scales), with the μ that
    puts it on the sphere: Newton's method on 1/radius − 1/‖u(μ)‖, as for trust regions. point, scales [J, D] -> [J, D].
    """
    multiplier = point.new_zeros(len(point), 1)
    for _ in range(_NEWTON):
        factors = 1 / (1 + multiplier * scales)
        inside = point * factors
        square = inside.square().sum(-1, keepdim=True)
        slope = (inside.square() * scales * factors).sum(-1, keepdim=True)
        multiplier = multiplier + (square.sqrt() / radius - 1) * square / slope
    return 1 / (1 + multiplier * scales)
