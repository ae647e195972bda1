import pytest
import torch

from metacli.layers import BatchNorm, Conv2d, GroupNorm, conv_norm, fused, recorded


def layers(channels, *, bias=False, norm=None):
    torch.manual_seed(0)
    conv = Conv2d(channels, 4, kernel=3, stride=2, padding=1, bias=bias).double()
    return conv, (norm or BatchNorm(4, relu=True)).double(), torch.randn(2, 3, 7, 6, channels).double()


@pytest.fixture
def fold(monkeypatch):
    """Counts the folded passes."""
    calls = []
    whole = fused.normalised_convolution
    monkeypatch.setattr(
        fused, "normalised_convolution", lambda *a, **options: calls.append(1) or whole(*a, **options)
    )
    return calls


@pytest.mark.parametrize("differentiable", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_folding_changes_neither_outputs_nor_recorded_statistics(channels, differentiable, fold):
    conv, norm, x = layers(channels)
    with recorded(norm, differentiable=differentiable) as folded:
        out = conv_norm(conv, norm, x)
    with recorded(norm, differentiable=differentiable) as separate:
        torch.testing.assert_close(out, norm(conv(x)))
    assert fold == [1]
    for ours, theirs in zip(folded[""], separate[""], strict=True):
        torch.testing.assert_close(ours, theirs)
        assert ours.requires_grad == differentiable


def test_what_cannot_be_folded_is_computed_one_after_the_other(fold):
    running = BatchNorm(4, relu=True)
    running.tracks = True
    running.eval()
    cases = [
        (*layers(4), False),  # too many channels
        (*layers(1), True),  # an input that somebody differentiates
        (*layers(1, bias=True), False),
        (*layers(1, norm=GroupNorm(4, groups=2, relu=True)), False),
        (*layers(1, norm=running), False),
    ]
    for conv, norm, x, differentiated in cases:
        x.requires_grad_(differentiated)
        assert torch.equal(conv_norm(conv, norm, x), norm(conv(x)))
    assert fold == []
