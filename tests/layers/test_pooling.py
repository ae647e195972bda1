import torch

from metacli.layers import channels_last, max_pool


def test_max_pooling_takes_the_largest_of_two_by_two_and_drops_odd_edges():
    x = torch.randn(2, 3, 5, 6, 4)
    expected = torch.stack([x[:, :, i : i + 4 : 2, j : j + 6 : 2] for i in (0, 1) for j in (0, 1)]).amax(0)
    assert torch.equal(max_pool(x), expected)


def test_channels_go_last_without_a_copy():
    x = torch.randn(2, 3, 4, 5, 6)
    assert torch.equal(channels_last(x)[1, 2, 3, 4], x[1, 2, :, 3, 4])
    assert channels_last(x).data_ptr() == x.data_ptr()
