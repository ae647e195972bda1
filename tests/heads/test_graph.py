"""The graph network against its definition, written with loops over nodes and torch's own layers."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from metacli.heads.graph import Adjacency, GraphNetwork, dropped

INPUTS, OUTPUTS, WIDTH = 5, 3, 4


def normal(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def network():
    """In float64, nothing at its initial value."""
    network = GraphNetwork(inputs=INPUTS, outputs=OUTPUTS, width=WIDTH, dropout=0.3).double()
    for place, (name, tensor) in enumerate(network.state_dict().items()):
        if name.endswith("running_var"):
            tensor.copy_(normal(tensor.shape, place).abs() + 0.5)
        else:
            tensor.add_(0.3 * normal(tensor.shape, place))
    for module in network.modules():
        module.tracks = True
    return network


@pytest.fixture
def nodes():
    return normal((2, 3, 4, INPUTS), 100)


EVERY = torch.ones(2, 3, 4, dtype=torch.bool)


def normalised(y, norm, training):
    """y [rows, C]; as torch's BatchNorm does."""
    return F.batch_norm(y, norm.running_mean, norm.running_var, norm.weight, norm.bias, training, 0.0)


def plain_adjacency(ours, graphs, training):
    """graphs [B, M, F] -> [B, M, M], pair by pair."""
    count, size, _ = graphs.shape
    pairs = [(g, i, j) for g in range(count) for i in range(size) for j in range(size)]
    x = torch.stack([(graphs[g, i] - graphs[g, j]).abs() for g, i, j in pairs])
    for block in ours.blocks:
        x = F.leaky_relu(normalised(x @ block.linear.weight.T, block.norm, training), 0.01)
    scores = (x @ ours.last.weight.T).view(count, size, size)
    return (scores - 1e8 * torch.eye(size)).softmax(2)


def plain_network(ours, graphs, training):
    """graphs [B, M, F] -> [B, K]."""
    for adjacency, convolution in zip(ours.adjacencies, ours.convolutions, strict=True):
        edges = plain_adjacency(adjacency, graphs, training)
        heard = torch.stack([edge @ graph for edge, graph in zip(edges, graphs, strict=True)])
        rows = torch.cat([graphs, heard], 2).flatten(0, 1) @ convolution.linear.weight.T
        new = normalised(rows, convolution.norm, training).view(*graphs.shape[:2], -1)
        graphs = torch.cat([graphs, F.leaky_relu(new, 0.01)], 2)
    return new[:, 0]


def test_in_evaluation_it_is_its_definition(network, nodes):
    network.eval()
    got = network(nodes, EVERY)
    torch.testing.assert_close(got.flatten(0, 1), plain_network(network, nodes.flatten(0, 1), False))


def test_in_training_it_normalises_over_all_graphs_of_a_task(network, nodes):
    got = network(nodes, EVERY)
    for t in range(2):
        torch.testing.assert_close(got[t], plain_network(network, nodes[t], True))


def test_nodes_listen_to_all_others_that_count_and_not_to_themselves(nodes):
    adjacency = Adjacency(INPUTS, 6).double()
    counted = torch.tensor([True, True, False, True]).expand(2, 3, -1)
    edges = adjacency(nodes, counted)
    torch.testing.assert_close(edges.sum(3), torch.ones(2, 3, 4).double())
    heard = (edges > 0).all(0).all(0)
    assert torch.equal(heard, torch.tensor([[0, 1, 0, 1], [1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 0, 0]]) > 0)


def test_the_order_of_the_other_nodes_does_not_matter(network, nodes):
    network.eval()
    torch.testing.assert_close(network(nodes[:, :, [0, 3, 1, 2]], EVERY), network(nodes, EVERY))
    assert not torch.allclose(network(nodes[:, :, [1, 0, 2, 3]], EVERY), network(nodes, EVERY))


def test_dropout_is_drawn_from_the_generator_it_is_given_and_is_in_the_last_adjacency(network, nodes):
    def draw(seed):
        return network(nodes, EVERY, torch.Generator().manual_seed(seed))

    dropped, kept = draw(0), network(nodes, EVERY)
    assert torch.equal(dropped, draw(0))
    assert not torch.allclose(dropped, draw(1))
    network.dropout = 0.0
    assert torch.equal(draw(0), kept)
    network.dropout = 0.3
    nn.init.zeros_(network.adjacencies[-1].last.weight)  # nothing that is dropped there is heard any more
    torch.testing.assert_close(draw(0), network(nodes, EVERY))


def test_what_dropout_keeps_makes_up_for_what_it_drops():
    y = dropped(torch.full((10_000,), 7.0), 0.3, torch.Generator().manual_seed(0))
    assert sorted(y.unique().tolist()) == pytest.approx([0, 10])
    assert y.mean().item() == pytest.approx(7, abs=0.1)


@pytest.mark.parametrize(("ways", "published"), [(5, 276_930), (20, 361_329)])
def test_it_has_the_published_parameters_but_for_biases_that_cancel(ways, published):
    f = 64 + ways
    network = GraphNetwork(inputs=f, outputs=ways, width=48, dropout=0.3)
    widths = [int(m * w) for w in (f, f + 48, f + 48) for m in (2, 1.5, 1, 1)]
    biases = (
        sum(widths) + 3 + (48 + 48 + ways)
    )  # of the adjacencies' layers, their last ones, the convolutions
    assert sum(parameter.numel() for parameter in network.parameters()) == published - biases
