"""The typed shape of every config group. Values live in configs/*.yaml; here stand types, bounds and choices.

A key that came after runs were saved without it has a default here: what those runs did.
"""

import math
import os
from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from metacli.letters import storable


def _no_truth_value(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("should be a number, not true or false")
    return value


def _rotations(value: Any) -> Any:
    """Earlier runs say true and false."""
    return {True: "classes", False: "none"}[value] if isinstance(value, bool) else value


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path)) if path else path


def _absolute_file(path: str) -> str:
    """What is no file here is meant below some root, or is no path."""
    return _absolute(path) if os.path.isfile(_absolute(path)) else path


def _absolute_place(name: str) -> str:
    """What is no file or folder here is a word, a package or a name on a hub."""
    return _absolute(name) if name not in ("none", "default") and os.path.exists(_absolute(name)) else name


def _auto(value: Any) -> Any:
    if value == "auto" or (type(value) is int and value >= 1):
        return value
    raise ValueError("should be a whole number from 1, or auto")


def _ascending(ends: list[float]) -> list[float]:
    if len(ends) != 2 or not ends[0] < ends[1]:
        raise ValueError("should be [low, high] with low < high")
    return ends


def _store(uri: str) -> str:
    """What MLflow takes for a store: its folders of files are gone."""
    if uri.startswith("sqlite:///"):
        return f"sqlite:///{_absolute(uri.removeprefix('sqlite:///'))}"
    if uri.startswith("file:") or not (":" in uri or uri == "databricks"):
        raise ValueError(
            "no folder of files is a store of MLflow's any more; give sqlite:///FILE or a server, http://..."
        )
    return uri


def _encoding(name: str) -> str:
    try:
        "".encode(name)
    except LookupError:
        raise ValueError("is no encoding that is known here; utf-8, latin-1, cp1252, gb18030 are") from None
    return name


_LARGEST = 2**63 - 1  # what tensors, and programs that read our files, take for a whole number

Number = BeforeValidator(_no_truth_value)  # python takes True for 1
Count = Annotated[int, Field(ge=1, le=_LARGEST), Number]
Natural = Annotated[int, Field(ge=0, le=_LARGEST), Number]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False), Number]
Share = Annotated[float, Field(ge=0, lt=1), Number]
Fraction = Annotated[float, Field(gt=0, lt=1), Number]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False), Number]
Folder = Annotated[str, AfterValidator(_absolute)]  # so that a saved run can be used from any folder
File = Annotated[str, AfterValidator(_absolute_file)]
Place = Annotated[str, Field(min_length=1), AfterValidator(_absolute_place)]
Store = Annotated[str, AfterValidator(_store)]
Word = Annotated[str, Field(min_length=1)]
Side = Annotated[int, Field(ge=1, le=4096), Number]  # of an image, in pixels
Chunk = Annotated[Annotated[int, Field(le=_LARGEST)] | Literal["auto"], BeforeValidator(_auto)]
Threads = Annotated[int, Field(ge=0, le=1024), Number]

Widths = Annotated[list[Count], Field(min_length=1)]
Norm = Literal["batch", "group", "layer", "none"]
BatchNormMode = Literal["batch", "support", "running", "with_support_single"]
Moves = list[Literal["features", "backbone", "last_block", "norm", "bias", "lora", "head"]]
Order = Literal["second", "first"]
LossReduction = Literal["mean", "sum_over_k"]
OnError = Literal["raise", "skip"]
Rotations = Annotated[Literal["classes", "episode", "none"], BeforeValidator(_rotations)]


def _within(move: str, moves: Collection[str]) -> bool:
    """Whether all that `move` names is named by `moves`."""
    both = {"last_block": {"backbone"}, "norm": {"backbone"}, "bias": {"backbone", "head"}}
    return move in moves or both.get(move, {move}) <= set(moves)


class Node(BaseModel):
    """Unknown keys are errors; values do not change once checked; a folder may be called 2024."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True, defer_build=True)

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_kept(cls, value: Any) -> Any:
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not storable(text):
                raise ValueError("holds a control character or a line's end, or is not Unicode")
            if (
                isinstance(text, str) and "${" in text
            ):  # where it is composed again that would not be a text any more
                raise ValueError(
                    "holds ${ as a text; without a backslash before it, ${key} is the value of a key"
                )
        return value


class Named(Node):
    """A component: `name` is its key in the registry."""

    name: str


# dataset
class Glyphs(Named):
    size: Side
    per_class: Count
    seed: Natural


class Omniglot(Named):
    root: Folder
    split: Literal["vinyals", "random"]
    rotations: Rotations
    size: Side
    download: bool
    split_sizes: list[Rate]
    split_seed: Natural
    on_error: OnError


class Augment(Node):
    flip: bool = False
    crop: Natural = 0
    colour: Share = 0.0


class ImageFolder(Named):
    root: Folder
    csv: File | None
    size: Side
    mode: Literal["rgb", "gray"]
    split: File  # seeded, folders, or a JSON file
    split_sizes: list[Rate]
    split_seed: Natural
    min_images: Count
    on_error: OnError
    augment: Augment = Field(default_factory=Augment)

    @model_validator(mode="after")
    def _crop_leaves_something(self) -> "ImageFolder":
        if self.augment.crop >= self.size:
            raise ValueError(f"augment.crop={self.augment.crop} should be less than size={self.size}")
        return self


class Digits(Named):
    split_sizes: list[Rate]
    split_seed: Natural


SplitBy = Literal["class", "item"]


class Clinc150(Named):
    root: Folder
    version: Literal["full", "small", "imbalanced"]
    split_by: SplitBy
    split_sizes: list[Rate]
    split_seed: Natural


class FinancialPhraseBank(Named):
    root: Folder
    agreement: Literal[50, 66, 75, 100]
    split_sizes: list[Rate]
    split_seed: Natural


class TextColumns(Node):
    text: Word
    label: Word
    split: Word


class TextFiles(Named):
    root: Folder  # or a file
    hub: Word | None
    columns: TextColumns
    encoding: Word
    split_by: SplitBy
    split: File  # seeded, own, or a JSON file
    split_sizes: list[Rate]
    split_seed: Natural
    min_texts: Count


Range = Annotated[list[Annotated[float, Field(allow_inf_nan=False), Number]], AfterValidator(_ascending)]


class Sinusoid(Named):
    amplitude: Range
    phase: Range
    x: Range
    noise: Amount


Column = Annotated[int, Field(ge=-1000, le=1000), Number]


class Conll(Named):
    root: Folder
    train: Annotated[list[Word], Field(min_length=1)]
    val: list[Word]
    test: list[Word]
    separator: Word
    word: Column
    tag: Column
    comment: str
    scheme: Literal["io", "iob1", "bio2", "bioes", "bmes", "types"]
    encoding: Annotated[str, AfterValidator(_encoding)]
    tags: Literal["io", "bio"]
    foreign: Literal["drop", "mask"]
    split_by: Literal["item", "class", "domain"]
    unseen: bool
    split: Word
    split_sizes: list[Rate]
    split_seed: Natural

    @model_validator(mode="after")
    def _two_columns(self) -> "Conll":
        if self.word == self.tag:
            raise ValueError(f"word={self.word} and tag={self.tag} are the same column")
        return self


# episode
class Shape(Node):
    ways: Annotated[int, Field(ge=2, le=_LARGEST), Number]
    shots: Count
    queries: Natural  # 0: a paradigm that learns from whole episodes (Reptile)


class FixedShape(Shape):
    queries: Count
    count: Annotated[int, Field(ge=2, le=_LARGEST), Number]  # of one episode there is no interval


class Episode(Node):
    train: Shape
    val: FixedShape
    test: FixedShape


# features
Form = Literal["vector", "image", "sequence", "text"]


class Features(Named):
    def output(self, shape: tuple[int, ...], form: Form) -> tuple[int, ...]:
        """What a backbone that takes `form` gets of each item: [D], [C, H, W], or of a sequence [1, steps, D].

        Raises ValueError, which says why, where there is no such thing.
        """
        return shape


class Fitted(Features):
    """images: of meta-train, to fit to · fit: or a random layer of the same form."""

    images: Count
    fit: bool

    @property
    def fewest(self) -> int:
        """Images that they can be fitted to."""
        return 1


class PCA(Fitted):
    components: Count
    whiten: bool
    rate: Rate

    @property
    def fewest(self) -> int:
        return self.components

    def output(self, shape: tuple[int, ...], form: Form) -> tuple[int, ...]:
        if self.components > math.prod(shape):
            raise ValueError(
                f"an image has {math.prod(shape)} numbers, of which there are no more components"
            )
        if form == "vector":
            return (self.components,)
        side = math.isqrt(self.components)
        if side**2 != self.components:
            raise ValueError(
                f"the backbone takes images, and no square has so many pixels; {side**2} has one"
            )
        return (1, side, side)


class Autoencoder(Fitted):
    widths: Widths
    dim: Count
    loss: Literal["bce", "mse"]
    noise: Amount
    epochs: Count
    batch: Count
    held_out: Share
    lr: Rate

    def output(self, shape: tuple[int, ...], form: Form) -> tuple[int, ...]:
        _, height, width = shape
        for _ in self.widths:
            height, width = (height + 1) // 2, (width + 1) // 2
        return {
            "vector": (self.dim,),
            "image": (self.widths[-1], height, width),
            "sequence": (1, height * width, self.widths[-1]),
        }[form]


# backbone
class Backbone(Named):
    @property
    def smallest(self) -> int:
        """Side of the smallest image that it takes."""
        return 1

    @property
    def keeps_map(self) -> bool:
        """Whether its features are its last map as it is, whose shape is then the `map_shape` of what is built."""
        return False


class Conv4(Backbone):
    width: Count
    depth: Count
    downsample: Literal["max_pool", "stride"]
    norm: Norm

    @property
    def smallest(self) -> int:
        return 2**self.depth if self.downsample == "max_pool" else 1

    @property
    def keeps_map(self) -> bool:
        return self.downsample == "max_pool"


class MLP(Backbone):
    widths: Widths
    norm: Norm


class Pixels(Backbone):
    pass


class ResNet12(Backbone):
    widths: Widths
    norm: Norm

    @property
    def smallest(self) -> int:
        return 2 ** len(self.widths)


Downsample = Literal["max_pool", "stride", "none"]
Padding = Literal["same", "valid"]


class CNN(Backbone):
    widths: Widths
    kernel: Literal[1, 3, 5, 7]
    downsample: Downsample | list[Downsample]
    padding: Padding | list[Padding] = "same"
    slope: Amount = 0.0
    read: Literal["flatten", "mean"]
    hidden: Natural
    norm: Norm

    @model_validator(mode="after")
    def _one_for_each_width(self) -> "CNN":
        for key in ("downsample", "padding"):
            value = getattr(self, key)
            if isinstance(value, list) and len(value) != len(self.widths):
                raise ValueError(
                    f"{key}={value} should be one word, or a list of {len(self.widths)}, one for each of widths"
                )
        return self

    @property
    def smallest(self) -> int:
        count, side = len(self.widths), 1
        hows = self.downsample if isinstance(self.downsample, list) else [self.downsample] * count
        edges = self.padding if isinstance(self.padding, list) else [self.padding] * count
        for how, edge in zip(reversed(hows), reversed(edges), strict=True):
            side = {"max_pool": 2 * side, "stride": 2 * side - 1, "none": side}[how]
            side += self.kernel - 1 if edge == "valid" else 0
        return side

    @property
    def keeps_map(self) -> bool:
        return self.read == "flatten" and not self.hidden


class RNN(Backbone):
    cell: Literal["gru", "lstm", "tanh"]
    width: Count
    depth: Count
    read: Literal["last", "mean"]
    norm: Norm


class Pretrained(Backbone):
    """A network that others have trained. size: None for its own."""

    model: Word
    weights: Place
    size: Side | None
    lora: Natural


class HuggingFace(Pretrained):
    model: Place


class TextEncoder(Backbone):
    model: Place
    weights: Place
    pooling: Literal["mean", "cls"]
    max_length: Annotated[int, Field(ge=3, le=_LARGEST), Number]
    lora: Natural


# optimizer
class Optimizer(Named):
    pass


class Scheduled(Optimizer):
    """With a learning rate, which the trainer sets by the schedule."""

    lr: Rate
    schedule: Literal["constant", "cosine", "linear"]
    weight_decay: Amount


class SGD(Scheduled):
    momentum: Share
    nesterov: bool

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> "SGD":
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs momentum > 0; set optimizer.nesterov=false")
        return self


class InDomain(Optimizer):
    """Without a learning rate: parameters move in a domain around where they began."""

    variant: Literal["coordinate", "full", "sketched"]
    radius: Rate
    sketch: Annotated[int, Field(ge=2, le=_LARGEST), Number]


class MetaGrad(InDomain):
    grad_bound: Rate | None


class AdaptiveMetaGrad(InDomain):
    prior: Rate
    experts: Count
    wake: Literal["current", "center"]
    grid: Literal["pow2", "anchored"]


# pretrain
class Pretrain(Named):
    pass


class ByEpochs(Pretrain):
    epochs: Count
    batch: Count
    held_out: Share
    optimizer: SerializeAsAny[Optimizer]


class Supervised(ByEpochs):
    head: Literal["linear", "cosine"]
    label_smoothing: Share
    moves: Annotated[Moves, Field(min_length=1)] = ["backbone", "head"]


# head
class Head(Named):
    pass


class CentroidHead(Head):
    transform: Literal["none", "l2n", "cl2n"]
    distance: Literal["euclidean", "cosine"]


class Logistic(Head):
    inverse_ridge: Rate


class DistributionCalibration(Head):
    samples: Count
    nearest: Count
    spread: Amount
    power: Rate


class LabelPropagation(Head):
    neighbours: Count
    alpha: Fraction


class FineTuned(Head):
    kind: Literal["linear", "cosine"]
    lr: Rate
    momentum: Share
    dampening: Share
    weight_decay: Amount
    batch: Count
    epochs: Count


# attack
class Attack(Named):
    pass


class Perturbation(Attack):
    epsilon: Rate
    train_on: Literal["none", "query", "support", "both"]
    episodes: Annotated[int, Field(ge=2, le=_LARGEST), Number]


class PGD(Perturbation):
    step: Rate
    steps: Count
    eval_steps: Count
    restarts: Count


class FreeLB(Perturbation):
    start: Amount
    step: Rate
    steps: Count


# paradigm
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


# tracker
class Jsonl(Node):
    file: Folder | None


class TensorBoard(Node):
    dir: Folder | None


class WandB(Node):
    mode: Literal["offline", "online"]
    project: Word
    entity: Word | None
    group: Word | None
    tags: list[Word]


class MLflow(Node):
    uri: Store | None
    experiment: Word


# the rest
class Trainer(Node):
    steps: Count
    meta_batch: Count
    chunk: Chunk
    val_every: Count
    log_every: Count
    patience: Natural
    clip: Amount


class Device(Node):
    name: Annotated[
        str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$", description="auto, cpu, mps, cuda or cuda:N")
    ]
    threads: Threads
    workers: Threads
    processes: Annotated[int, Field(ge=1, le=1024), Number] = 1


class Report(Node):
    split: Literal["test", "val"]


class Run(Node):
    root: Annotated[str, Field(min_length=1)]
    name: Annotated[
        str, Field(pattern=r"^\w[\w.=,+-]*$", description="a folder name: letters, digits and _.=,+-")
    ]
    init_from: Folder | None


class Config(Node):
    """A whole experiment. Component nodes hold the model that the registry names for them."""

    seed: Natural
    dataset: SerializeAsAny[Named]
    episode: Episode
    features: SerializeAsAny[Features] = Features(name="none")
    backbone: SerializeAsAny[Backbone]
    head: SerializeAsAny[Head] = Head(name="none")
    pretrain: SerializeAsAny[Pretrain] = Pretrain(name="none")
    optimizer: SerializeAsAny[Optimizer]
    attack: SerializeAsAny[Attack] = Attack(name="none")
    trainer: Trainer
    paradigm: SerializeAsAny[Paradigm]
    device: Device
    report: Report
    run: Run
    tracker: dict[str, SerializeAsAny[Node]]

    def plain(self) -> dict[str, Any]:
        return self.model_dump()
