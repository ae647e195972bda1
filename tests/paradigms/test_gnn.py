import pytest
import torch
import torch.nn.functional as F

from metacli.backbones.cnn import CNN
from metacli.config.compatibility import batch_norm_mode, batch_norm_statistics, check
from metacli.config.compose import composed, values_of
from metacli.config.validate import validate
from metacli.data.table import Description
from metacli.episode import Examples, TaskSpec
from metacli.errors import UserError
from metacli.paradigms import gnn
from metacli.paradigms.gnn import GNN

SPEC = TaskSpec("classify", (1, 9, 10), 3)


@pytest.fixture
def make_gnn(make_backbone):
    def make(*, bn_mode="running", query_label="zeros", dropout=0.3, **backbone):
        network = make_backbone(**backbone)
        rest = {"embedding": 5, "width": 4, "dropout": dropout, "query_label": query_label}
        learner = GNN(spec=SPEC, backbone=network, features=network.features, bn_mode=bn_mode, **rest)
        random = torch.Generator().manual_seed(0)
        for name, tensor in learner.double().graph.state_dict().items():
            if name.endswith("running_var"):
                tensor.copy_(0.5 + torch.rand(tensor.shape, generator=random))
            else:
                tensor.add_(0.3 * torch.randn(tensor.shape, generator=random))
        return learner

    return make


def plain_graphs(support, labels, query, unknown=0.0):
    """One graph for each query, the query first. support [N, D], labels [N], query [Q, D] -> [Q, 1 + N, D + W]"""
    known = torch.cat([support, F.one_hot(labels, SPEC.outputs)], 1)
    firsts = [torch.cat([z, torch.full((SPEC.outputs,), unknown)]).unsqueeze(0) for z in query]
    return torch.stack([torch.cat([first, known]) for first in firsts])


@pytest.mark.parametrize(("query_label", "unknown"), [("zeros", 0.0), ("uniform", 1 / 3)])
def test_each_query_is_the_first_node_of_a_graph_of_its_own(query_label, unknown, make_gnn, make_episode):
    learner, episode = make_gnn(query_label=query_label).eval(), make_episode()
    got = learner.adapt(episode.support)(episode.query.inputs)
    support, query = (learner.encoder(s.inputs["x"]) for s in (episode.support, episode.query))
    for t in range(len(episode)):
        graphs = plain_graphs(support[t], episode.support.labels[t], query[t], unknown)
        every = torch.ones(1, *graphs.shape[:2], dtype=torch.bool)
        torch.testing.assert_close(got[t], learner.graph(graphs.unsqueeze(0), every)[0])


def test_training_normalises_all_tasks_of_a_step_together(make_gnn, make_episode):
    """The images of all tasks as one batch, then all their graphs as one batch."""
    learner, episode = make_gnn(dropout=0.0).train(), make_episode(tasks=3)
    sets = (episode.support, episode.query)
    images = [s.inputs["x"].flatten(0, 1) for s in sets]
    features = learner.encoder(torch.cat(images).unsqueeze(0))[0]
    support, query = features[: len(images[0])].view(3, 6, 5), features[len(images[0]) :].view(3, 9, 5)
    graphs = torch.cat(
        [plain_graphs(*task) for task in zip(support, episode.support.labels, query, strict=True)]
    )
    logits = learner.graph(graphs.unsqueeze(0), torch.ones(1, 27, 7, dtype=torch.bool)).view(3, 9, 3)
    losses = [
        F.cross_entropy(task, labels) for task, labels in zip(logits, episode.query.labels, strict=True)
    ]
    torch.testing.assert_close(learner.meta_loss(episode), torch.stack(losses))
    alone = [learner.meta_loss(part) for part in episode.chunks(1)]
    assert not torch.allclose(learner.meta_loss(episode), torch.cat(alone))


def test_dropout_is_another_in_every_step_and_the_same_when_a_step_is_taken_again(make_gnn, make_episode):
    learner, episode = make_gnn(), make_episode()

    def loss(step):
        learner.begin_step(step, 10, torch.Generator().manual_seed(step))
        return learner.meta_loss(episode)

    first = loss(1)
    assert not torch.allclose(loss(2), first)
    assert torch.equal(loss(1), first)
    learner.eval()
    assert torch.equal(loss(1), loss(2))


def test_queries_may_be_answered_in_parts(make_gnn, make_episode, monkeypatch):
    learner, episode = make_gnn().eval(), make_episode()
    whole = learner.adapt(episode.support)(episode.query.inputs)
    monkeypatch.setattr(gnn, "PAIRS", 4 * 2 * 7**2)
    sizes = []
    learner.graph.register_forward_hook(lambda _, given, __: sizes.append(given[0].shape[1]))
    torch.testing.assert_close(learner.adapt(episode.support)(episode.query.inputs), whole)
    assert sizes == [4, 4, 1]


def test_a_class_has_its_place_in_the_network_so_that_renamed_ones_get_other_answers(make_gnn, make_episode):
    learner, episode = make_gnn().eval(), make_episode()
    support = episode.support
    renamed = Examples(support.inputs, (support.labels + 1) % 3, support.mask, support.rows, support.classes)
    one, other = (learner.adapt(s)(episode.query.inputs) for s in (support, renamed))
    assert not torch.allclose(one.roll(1, 2), other, rtol=0.01)


def test_the_encoder_has_the_published_parameters():
    values = values_of(composed(["paradigm=gnn"])[0])
    backbone = CNN(shape=(1, 28, 28), **{k: v for k, v in values["backbone"].items() if k != "name"})
    assert backbone.features == 576
    rest = {"width": 48, "dropout": 0.3, "query_label": "zeros", "bn_mode": "running"}
    learner = GNN(
        spec=SPEC, backbone=backbone, features=576, embedding=values["paradigm"]["embedding"], **rest
    )
    assert sum(parameter.numel() for parameter in learner.encoder.parameters()) == 148_672


def described():
    classes = {f"class {number}": 20 for number in range(30)}
    return Description((1, 28, 28), dict.fromkeys(("train", "val", "test"), classes))


def config(*overrides):
    return validate(values_of(composed(["paradigm=gnn", *overrides])[0]))


def test_a_chunk_that_would_cut_a_step_is_refused():
    check(config(), described())
    with pytest.raises(
        UserError, match=r"trainer\.chunk=4: gnn .*8\s*tasks.*\nuse trainer\.chunk=8, or auto"
    ):
        check(config("trainer.chunk=4"), described())
    check(config("trainer.chunk=4"), described(), training=False)
    check(config("trainer.chunk=auto"), described())
    with pytest.raises(
        UserError, match=r"device\.processes=2: .*\n?.*gnn computes them together, in one process"
    ):
        check(config("device.processes=2"), described())


def test_the_statistics_of_a_support_set_alone_are_refused():
    with pytest.raises(UserError, match=r"paradigm\.bn_mode=support: .*'running' or 'batch'"):
        config("paradigm.bn_mode=support")


def test_the_report_says_that_it_has_batch_norm_whatever_the_backbone_and_whose_statistics_train():
    assert batch_norm_mode(config("backbone.norm=none")) == "running"
    assert batch_norm_statistics(config()) == "step"
    assert batch_norm_statistics(validate(values_of(composed(["paradigm=protonet"])[0]))) == "task"
