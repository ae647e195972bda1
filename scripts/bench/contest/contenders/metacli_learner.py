"""metacli: its learners, called as its trainer and its evaluator call them."""

from functools import partial

import metacli  # first: sets how OpenMP waits

assert metacli.__version__

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from contest.network import build  # noqa: E402
from contest.tasks import Tasks, flat, random_tasks  # noqa: E402
from contest.work import INNER_LR, OUTER_LR, Work  # noqa: E402
from metacli.backbones.conv4 import Conv4, Downsample  # noqa: E402
from metacli.backbones.resnet12 import ResNet12  # noqa: E402
from metacli.crew import Crew  # noqa: E402
from metacli.episode import Episode, Examples, TaskSpec  # noqa: E402
from metacli.learner import Learner  # noqa: E402
from metacli.paradigms.inner_loop import InnerLoop  # noqa: E402
from metacli.paradigms.maml import MAML  # noqa: E402
from metacli.paradigms.protonet import ProtoNet  # noqa: E402
from metacli.parts import commit, moved, part_of, total  # noqa: E402
from metacli.runtime import prepare  # noqa: E402

CHUNK = 8  # the default of the trainer group


class Entry:
    def __init__(self, work: Work, device: torch.device, threads: int, dtype: torch.dtype) -> None:
        prepare(device, threads)
        self.work = work
        self.crew = Crew(threads if device.type == "cpu" else 1)
        self.learner = build_learner(work).to(device, dtype).train(work.training)
        self.optimizer = torch.optim.Adam(self.learner.parameters(), lr=OUTER_LR)
        self.episode = as_episode(random_tasks(work, device, dtype))
        self.logits: list[Tensor] = []

    def step(self) -> None:
        if self.work.training:
            train_step(self.learner, self.optimizer, self.episode, self.crew)
            return
        chunks = list(self.episode.chunks(CHUNK))
        self.logits = list(self.crew.each(predict, self.learner, chunks, among=len(chunks)))

    def outcome(self) -> Tensor:
        if not self.work.training:
            return flat(self.logits)
        gradients = [parameter.grad for parameter in self.learner.parameters() if parameter.grad is not None]
        return flat([channels_first(gradient) for gradient in gradients])


def train_step(learner: Learner, optimizer: torch.optim.Optimizer, episode: Episode, crew: Crew) -> None:
    optimizer.zero_grad(set_to_none=True)
    chunks = list(episode.chunks(CHUNK))
    parts = crew.each(partial(part_of, tasks=len(episode)), learner, chunks, among=len(chunks))
    _, statistics = total(parts, moved(learner))
    optimizer.step()
    commit(learner, statistics)


@torch.no_grad()
def predict(learner: Learner, chunk: Episode) -> Tensor:
    return learner.adapt(chunk.support)(chunk.query.inputs)


def build_learner(work: Work) -> Learner:
    backbone: Conv4 | ResNet12
    if work.backbone == "resnet12":
        backbone = ResNet12(shape=work.shape, widths=[work.width] * 4, norm="batch")
    else:
        form: Downsample = "stride" if work.backbone == "conv4_stride" else "max_pool"
        backbone = Conv4(shape=work.shape, width=work.width, depth=4, downsample=form, norm="batch")
    spec = TaskSpec("classify", work.shape, work.ways)
    learner: Learner
    if work.method == "protonet":
        stored = work.one_batch or not work.training
        learner = ProtoNet(spec=spec, backbone=backbone, bn_mode="running" if stored else "batch")
    else:
        learner = MAML(
            inner=InnerLoop(
                spec=spec,
                backbone=backbone,
                features=backbone.features,
                inner_steps=work.steps,
                inner_eval_steps=work.steps,
                inner_loss_reduction="mean",
                order=work.order,
                moves_inner=["head"] if work.inner == "head" else ["backbone", "head"],
                moves_outer=["backbone", "head"],
                bn_mode="batch",
            ),
            inner_lr=INNER_LR,
        )
    take_weights(learner, build(work))
    return learner


def take_weights(learner: Learner, network: nn.Module) -> None:
    with torch.no_grad():
        for ours, theirs in zip(learner.parameters(), network.parameters(), strict=True):
            ours.copy_(theirs.permute(0, 2, 3, 1) if theirs.dim() == 4 else theirs)


def channels_first(tensor: Tensor) -> Tensor:
    return tensor.permute(0, 3, 1, 2) if tensor.dim() == 4 else tensor


def as_episode(tasks: Tasks) -> Episode:
    def examples(images: Tensor, labels: Tensor) -> Examples:
        labels = labels.expand(len(tasks), -1)
        classes = labels.unique().expand(len(tasks), -1)
        return Examples({"x": images}, labels, torch.ones_like(labels, dtype=torch.bool), labels, classes)

    return Episode(
        examples(tasks.support, tasks.support_labels),
        examples(tasks.query, tasks.query_labels),
        torch.arange(len(tasks)),
    )
