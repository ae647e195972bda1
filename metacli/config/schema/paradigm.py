"""paradigm: the settings of each method."""

from collections.abc import Collection
from typing import Annotated, Literal

from pydantic import Field, model_validator

from metacli.config.schema.dataset import Augment
from metacli.config.schema.values import (
    Amount,
    Count,
    Fraction,
    Moves,
    Named,
    Natural,
    Node,
    Number,
    Range,
    Rate,
    Share,
)


def _within(move: str, moves: Collection[str]) -> bool:
    """Whether all that `move` names is named by `moves`."""
    both = {"last_block": {"backbone"}, "norm": {"backbone"}, "bias": {"backbone", "head"}}
    return move in moves or both.get(move, {move}) <= set(moves)


BatchNormMode = Literal["batch", "support", "running", "with_support_single"]
Order = Literal["second", "first"]
LossReduction = Literal["mean", "sum_over_k"]


class Paradigm(Named):
    family: Literal["agnostic", "dependent"]
    bn_mode: BatchNormMode


class InnerSteps(Node):
    steps: Count
    eval_steps: Natural
    loss_reduction: LossReduction


class InnerLoop(InnerSteps):
    lr: Amount
    loss_reduction: LossReduction = "mean"


class MovesOf(Node):
    inner: Annotated[Moves, Field(min_length=1)]
    outer: Annotated[Moves, Field(min_length=1)]


class MAML(Paradigm):
    order: Order
    inner: InnerLoop
    moves: MovesOf


class NoInnerLoop(InnerLoop):
    steps: Literal[0]


class Joint(MAML):
    order: Literal["first"]
    inner: NoInnerLoop


class RatesPerWeight(InnerSteps):
    initial_lr: Range


class MetaSGD(Paradigm):
    order: Order
    inner: RatesPerWeight
    moves: MovesOf


class RatesPerStep(InnerSteps):
    initial_lr: Rate

    @model_validator(mode="after")
    def _no_step_without_rates(self) -> "RatesPerStep":
        if self.eval_steps > self.steps:
            raise ValueError(
                f"eval_steps={self.eval_steps}: rates are learned for the steps of training, steps={self.steps}"
            )
        return self


class MAMLPlusPlus(Paradigm):
    """multi_step: share of training in which the queries are asked after every step · first_order: share of it whose
    derivatives are of first order."""

    bn_mode: Literal[
        "batch", "support", "with_support_single"
    ]  # each step has norms of its own, and no averages
    order: Order
    multi_step: Share
    first_order: Share
    inner: RatesPerStep
    moves: MovesOf

    @model_validator(mode="after")
    def _first_order_comes_before_second(self) -> "MAMLPlusPlus":
        if self.first_order and self.order == "first":
            raise ValueError(
                f"first_order={self.first_order} needs order=second; order=first is all of training"
            )
        return self


class Solver(Node):
    """Of conjugate gradient, in iMAML."""

    steps: Count
    damping: Amount
    shift: Amount


class PulledSteps(InnerLoop):
    pull: Literal["each", "last"]
    loss_reduction: LossReduction


class IMAML(Paradigm):
    order: Literal["implicit"]
    proximity: Rate
    inner: PulledSteps
    solver: Solver
    moves: MovesOf


class RatesAndDecays(RatesPerStep):
    initial_decay: Amount


class ALFA(Paradigm):
    order: Order
    inner: RatesAndDecays
    moves: MovesOf


class TaskSteps(InnerLoop):
    optimizer: Literal["adam", "sgd", "aruba"]
    batch: Count
    eval_batch: Count
    loss_reduction: LossReduction


class Reptile(Paradigm):
    inner: TaskSteps
    moves: MovesOf

    @model_validator(mode="after")
    def _what_moves_outside_moves_inside(self) -> "Reptile":
        inner, outer = self.moves.inner, self.moves.outer
        if lost := [move for move in outer if not _within(move, inner)]:
            raise ValueError(
                f"moves.outer=[{','.join(outer)}]: Reptile can only move what its inner loop moves, and"
                f" moves.inner=[{','.join(inner)}] leaves out {lost[0]}; name it in both, or in neither"
            )
        return self


class ProtoNet(Paradigm):
    pass


class GNN(Paradigm):
    bn_mode: Literal["running", "batch"]  # a support set without a query is no graph, so has no statistics
    embedding: Count
    width: Count
    dropout: Annotated[float, Field(ge=0, lt=1), Number]
    query_label: Literal["zeros", "uniform"]


class MatchingNet(Paradigm):
    full_context: bool
    scale: Rate


class RelationNet(Paradigm):
    bn_mode: Literal["batch", "running"]  # a support set without a query makes no pairs
    width: Count
    hidden: Count


class TPN(Paradigm):
    neighbours: Count
    alpha: Fraction


class R2D2(Paradigm):
    ridge: Rate
    scale: Rate


class MetaBaseline(Paradigm):
    scale: Rate


class FineTuning(Node):
    steps: Natural
    lr: Rate
    weight_decay: Amount


class TransferHead(Node):
    kind: Literal["linear", "cosine"]
    scale: Rate


class MovesInside(Node):
    inner: Moves


class Transfer(Paradigm):
    head: TransferHead
    finetune: FineTuning
    moves: MovesInside


class PMF(Paradigm):
    scale: Rate
    finetune: FineTuning
    augment: Augment
    moves: MovesOf


class NearestCentroid(Paradigm):
    distance: Literal["euclidean", "cosine"]


class OfWords(Paradigm):
    """An encoder of texts has no batch norm: bn_mode, which every paradigm has, says nothing here."""

    bn_mode: Literal["running"]


class ProtoBERT(OfWords):
    o_class: Literal["prototype", "learned_bias"]


class Contrasting(FineTuning):
    distance: Literal["kl", "euclidean"]


class Container(OfWords):
    embedding: Count
    nearest: Literal["states", "gaussians"]
    tau: Amount
    finetune: Contrasting
    moves: MovesOf

    @model_validator(mode="after")
    def _states_are_of_the_encoder(self) -> "Container":
        for loop in ("outer", "inner"):
            if set(getattr(self.moves, loop)) == {"head"} and self.nearest == "states":
                raise ValueError(
                    f"moves.{loop}=[head]: nearest=states asks the encoder alone; add backbone, or nearest=gaussians"
                )
        return self


class NNShot(OfWords):
    normalise: bool


class StructShot(NNShot):
    tau: Rate


class TokenFinetune(OfWords):
    scale: Rate
    finetune: FineTuning
