"""The classifier of pretraining against its formulas, in float64."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from metacli.backbones.pixels import Pixels
from metacli.episode import Episode, Examples, TaskSpec
from metacli.layers import CosineLinear
from metacli.pretrain.supervised import Classifier

CLASSES = 4


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make(head="linear", label_smoothing=0.0):
    """On the numbers themselves, so that the head is all there is."""
    backbone = Pixels(shape=(6,))
    learner = Classifier(
        spec=TaskSpec("classify", (6,), CLASSES),
        backbone=backbone,
        features=backbone.features,
        head=head,
        label_smoothing=label_smoothing,
        moves=["backbone", "head"],
    ).double()
    for seed, parameter in enumerate(learner.parameters()):
        parameter.data = normal(*parameter.shape, seed=seed)
    return learner


def examples(items, ways=CLASSES, seed=9):
    labels = (torch.arange(items) % ways)[None]
    mask = torch.ones_like(labels, dtype=torch.bool)
    return Examples({"x": normal(1, items, 6, seed=seed)}, labels, mask, labels, torch.arange(ways)[None])


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("head", ["linear", "cosine"])
def test_a_batch_is_scored_by_cross_entropy_over_all_classes(head, smoothing):
    learner, batch = make(head, smoothing), examples(10)
    x, labels = batch.inputs["x"][0], batch.labels[0]
    if head == "linear":
        scores = x @ learner.head.weight.T + learner.head.bias
    else:
        directions = learner.head.weight / learner.head.weight.norm(dim=1, keepdim=True)
        scores = 2 * learner.head.norm * (x / x.norm(dim=1, keepdim=True) @ directions.T)
    wanted = torch.full((10, CLASSES), smoothing / CLASSES, dtype=torch.float64)
    wanted[torch.arange(10), labels] += 1 - smoothing
    expected = -(wanted * scores.log_softmax(-1)).sum(-1).mean()
    loss = learner.meta_loss(Episode(examples(0), batch, torch.tensor([0])))
    torch.testing.assert_close(loss, expected[None], rtol=1e-12, atol=1e-12)


def test_with_a_support_set_it_is_the_nearest_class_mean_under_the_cosine():
    learner, support, query = make(), examples(6, ways=3, seed=1), examples(5, ways=3, seed=2)
    found = learner.adapt(support)(query.inputs)[0]
    for item, scores in zip(query.inputs["x"][0], found, strict=True):
        for way in range(3):
            mean = support.inputs["x"][0][support.labels[0] == way].mean(0)
            torch.testing.assert_close(scores[way], F.cosine_similarity(item, mean, dim=0))


def test_what_is_told_apart_is_what_the_head_gets_right():
    learner, batch = make(), examples(50)
    scores = batch.inputs["x"][0] @ learner.head.weight.T + learner.head.bias
    correct = learner.correct(batch)
    assert correct.tolist() == [(scores.argmax(1) == batch.labels[0]).tolist()]
    assert 0 < correct.sum() < 50


def test_the_cosine_head_is_a_weight_normed_layer_on_directions():
    ours = CosineLinear(6, CLASSES).double()
    theirs = nn.utils.parametrizations.weight_norm(nn.Linear(6, CLASSES, bias=False).double(), dim=0)
    ours.norm.data = normal(CLASSES, seed=3)
    theirs.parametrizations.weight.original0.data = ours.norm.data[:, None].clone()
    theirs.parametrizations.weight.original1.data = ours.weight.data.clone()
    x = normal(1, 7, 6)
    torch.testing.assert_close(ours(x), 2 * theirs(F.normalize(x, dim=-1)))
    assert CosineLinear(6, 200).scale == 2
    assert CosineLinear(6, 201).scale == 10


def test_the_cosine_head_takes_weights_of_each_task():
    layer, x = CosineLinear(6, CLASSES).double(), normal(3, 7, 6)
    weights, norms = normal(3, CLASSES, 6, seed=1), normal(3, CLASSES, seed=2)
    together = torch.func.functional_call(layer, {"weight": weights, "norm": norms}, (x,))
    for task in range(3):
        alone = torch.func.functional_call(
            layer, {"weight": weights[task], "norm": norms[task]}, (x[task, None],)
        )
        torch.testing.assert_close(together[task], alone[0])
