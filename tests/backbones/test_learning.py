"""The larger backbones learn from episodes what helps with classes that they have never seen."""

import pytest
import torch

from metacli.backbones.cnn import CNN
from metacli.backbones.resnet12 import ResNet12
from metacli.backbones.rnn import RNN
from metacli.data.images import ImageSource
from metacli.data.sampler import EpisodeShape
from metacli.episode import TaskSpec
from metacli.paradigms.inner_loop import InnerLoop
from metacli.paradigms.maml import MAML
from metacli.paradigms.protonet import ProtoNet
from metacli.runtime import seeded

IMAGE = (1, 8, 8)
CELLS = ("gru", "lstm", "tanh")
BACKBONES = {
    "resnet12": lambda: ResNet12(shape=IMAGE, widths=[8, 16], norm="batch"),
    "cnn": lambda: CNN(
        shape=IMAGE,
        widths=[8, 16],
        kernel=3,
        downsample="max_pool",
        padding="same",
        slope=0.0,
        read="flatten",
        hidden=32,
        norm="batch",
    ),
} | {
    f"rnn {cell}": lambda cell=cell: RNN(shape=IMAGE, cell=cell, width=32, depth=1, read="mean", norm="batch")
    for cell in CELLS
}


def protonet(backbone):
    return ProtoNet(spec=TaskSpec("classify", IMAGE, 3), backbone=backbone, bn_mode="batch")


def maml(backbone):
    return MAML(
        inner=InnerLoop(
            spec=TaskSpec("classify", IMAGE, 3),
            backbone=backbone,
            features=backbone.features,
            inner_steps=1,
            inner_eval_steps=1,
            inner_loss_reduction="mean",
            order="second",
            moves_inner=["backbone", "head"],
            moves_outer=["backbone", "head"],
            bn_mode="batch",
        ),
        inner_lr=0.5,
    )


@pytest.mark.parametrize("learner", [protonet, maml])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_it_learns(backbone, learner, table):
    shape = EpisodeShape(ways=3, shots=5, queries=5)
    train, test = (ImageSource(table=table, split=s, device=torch.device("cpu")) for s in ("train", "test"))
    with seeded(0, "weights"):
        learner = learner(BACKBONES[backbone]())
    optimizer = torch.optim.Adam(learner.parameters(), lr=0.01)

    def accuracy():
        (episodes,) = test.fixed_episodes(test.sampler(shape), 60)
        with torch.no_grad():
            answers = learner.adapt(episodes.support)(episodes.query.inputs).argmax(-1)
        return (answers == episodes.query.labels).float().mean()

    before = accuracy()
    for step in range(60):
        optimizer.zero_grad()
        learner.meta_loss(train.episode(train.sampler(shape), seed=0, step=step, tasks=8)).mean().backward()
        optimizer.step()
    assert accuracy() > max(before + 0.1, 0.7)
