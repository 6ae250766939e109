"""`settle`: where a layer at 100 Hz comes to rest under what never changes."""

import pytest
import torch
from streaming import leaves

from sssm.layers.block import Block
from sssm.layers.leaky import LeakyMean
from sssm.layers.mamba import Mamba, MambaBlock
from sssm.layers.s4d import S4D
from sssm.timing import FRAMES_HZ

H = 3


def s4d():
    sizes = {"channels": H, "state_size": 4, "sample_rate_hz": FRAMES_HZ}
    return S4D(**sizes, dt_min=0.02, dt_max=0.4, slowest_s=0.24)


def mamba():
    return Mamba(
        channels=H, state_size=4, dt_min=0.01, dt_max=0.2, slowest=0.24 * FRAMES_HZ
    )  # fmt: skip


LAYERS = {
    "leaky mean": lambda: LeakyMean(channels=H, sample_rate_hz=FRAMES_HZ, start_s=0.1),
    "s4d": s4d,
    "block of s4d": lambda: Block(s4d(), channels=H, dropout=0.0),
    "mamba": mamba,
    "block of mamba": lambda: MambaBlock(mamba(), dropout=0.0),
}


@pytest.fixture(params=LAYERS)
def layer(request):
    torch.manual_seed(0)
    return LAYERS[request.param]().double().eval()


def constant():
    return torch.randn(2, H, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def test_it_is_what_a_long_time_of_the_same_comes_to(layer):
    x = constant()
    y, state = layer.settle(x)
    heard, last = layer(x[:, None].expand(-1, 2_000, -1))
    torch.testing.assert_close(y, heard[:, -1], rtol=0, atol=1e-10)
    for settled, left in zip(leaves(state), leaves(last), strict=True):
        torch.testing.assert_close(settled, left, rtol=0, atol=1e-10)


@torch.no_grad()
def test_a_step_of_the_same_stays_there(layer):
    x = constant()
    y, state = layer.settle(x)
    again, after = layer.step(x, state)
    torch.testing.assert_close(again, y, rtol=0, atol=1e-12)
    for before, left in zip(leaves(state), leaves(after), strict=True):
        torch.testing.assert_close(before, left, rtol=0, atol=1e-12)


def test_gradients_flow_through_it(layer):
    parameters = [p for p in layer.parameters() if p.requires_grad]

    def numbers(x, *_):
        y, state = layer.settle(x)
        parts = [torch.view_as_real(p) if p.is_complex() else p for p in leaves(state)]
        return (y, *parts)

    assert torch.autograd.gradcheck(numbers, (constant().requires_grad_(), *parameters))
