"""3x3 convolutions by minimal filtering against those of PyTorch."""

import pytest
import torch
from torch.nn import functional as F

from sktagger.networks._winograd import can_use_winograd, winograd_conv


def make(n_in, n_out, height, width, n_clips=2):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n_clips, n_in, height, width, generator=generator)
    weight = torch.randn(n_out, n_in, 3, 3, generator=generator) / (3 * n_in**0.5)
    bias = torch.randn(n_out, generator=generator)
    return x, weight, bias


SIZES = [(1, 1), (1, 9), (2, 3), (4, 4), (5, 8), (16, 13), (8, 50), (9, 520)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
def test_values_and_gradients(size, memory_format):
    x, weight, bias = make(64, 128, *size)
    of_output = torch.randn(2, 128, *size, generator=torch.Generator().manual_seed(1))
    given = [x.contiguous(memory_format=memory_format), weight, bias]
    given = [tensor.clone().requires_grad_() for tensor in given]
    got = winograd_conv(*given)
    got.backward(of_output.contiguous(memory_format=memory_format))
    exact = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
    expected = F.conv2d(*exact, padding=1)
    expected.backward(of_output.double())
    assert got.shape == expected.shape
    assert got.is_contiguous(memory_format=torch.channels_last)
    pairs = [
        (got, expected),
        *((own.grad, other.grad) for own, other in zip(given, exact, strict=True)),
    ]
    for own, other in pairs:
        scale = other.abs().max().item()
        torch.testing.assert_close(own.double(), other, rtol=0, atol=2e-5 * scale)


def test_output_can_be_changed_in_place():
    x, weight, bias = make(64, 128, 4, 8)
    weight.requires_grad_()
    (winograd_conv(x, weight, bias).mul_(2).sum()).backward()
    twice = weight.grad.clone()
    weight.grad = None
    winograd_conv(x, weight, bias).sum().backward()
    torch.testing.assert_close(twice, 2 * weight.grad)


def test_clips_do_not_change_each_other():
    x, weight, bias = make(64, 128, 8, 20, n_clips=3)
    together = winograd_conv(x, weight, bias)
    alone = torch.cat([winograd_conv(clip[None], weight, bias) for clip in x])
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-6)


def test_gradients_of_what_needs_none_are_left_out():
    x, weight, bias = make(64, 128, 4, 4)
    bias.requires_grad_()
    winograd_conv(x, weight, bias).sum().backward()
    assert (x.grad, weight.grad) == (None, None)
    torch.testing.assert_close(bias.grad, torch.full((128,), 32.0))


def test_where_it_is_used():
    x, weight, _ = make(64, 128, 4, 64)
    assert not can_use_winograd(x[..., :63], weight)
    assert can_use_winograd(x, weight)
    assert not can_use_winograd(x.double(), weight.double())
    assert not can_use_winograd(x.bfloat16(), weight.bfloat16())
    assert not can_use_winograd(x, weight[..., :1, :1])
    assert not can_use_winograd(x[:, :32], weight[:, :32])
    assert not can_use_winograd(x, weight[:64])
    assert not can_use_winograd(x.to("meta"), weight.to("meta"))
    with torch.autocast("cpu", torch.bfloat16):
        assert not can_use_winograd(x, weight)
