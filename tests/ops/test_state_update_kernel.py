import pytest
import torch
from kernels import DEVICE, assert_kernel

from sssm.ops.flush import TINY
from sssm.ops.state_update import state_update, state_update_reference
from sssm.ops.state_update.kernel import (
    BLOCK,
    state_update_backward_triton,
    state_update_triton,
)

pytestmark = pytest.mark.usefixtures("nan_memory")

LEAK = 0.01


def operands(batch=2, channels=3, N=4, dtype=torch.float32, skip=True, gate=True):
    g = torch.Generator().manual_seed(N)

    def randn(*shape):
        return torch.randn(shape, generator=g, dtype=torch.float64)

    precise = torch.float32 if dtype == torch.bfloat16 else dtype
    x, z = randn(batch, channels).to(dtype), randn(batch, channels).to(dtype)
    dt = (0.001 + 0.2 * torch.rand(batch, channels, generator=g)).to(dtype)
    B, C = randn(batch, N).to(dtype), randn(batch, N).to(dtype)
    A = -torch.arange(1, N + 1, dtype=precise).repeat(channels, 1)
    D, h = randn(channels).to(precise), randn(batch, channels, N).to(precise)
    return [x, dt, A, B, C, D if skip else None, z if gate else None, h]


def forward(*operands):
    return state_update_triton(*operands, LEAK)


def backward(*operands):
    *inputs, dy, dh = operands
    return state_update_backward_triton(*inputs, LEAK, dy, dh)


def reference(*operands):
    return state_update_reference(*operands, LEAK)


@pytest.mark.parametrize("skip", [True, False], ids=["skip", "no skip"])
@pytest.mark.parametrize("gate", [True, False], ids=["gate", "open"])
def test_as_good_as_the_reference(skip, gate):
    assert_kernel(forward, backward, reference, operands(skip=skip, gate=gate))


@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (3, BLOCK - 1, 2), (1, BLOCK, 16), (2, BLOCK + 1, 17)], ids=str
)
def test_any_size(sizes):
    assert_kernel(forward, backward, reference, operands(*sizes))


def test_rounded_operands_and_a_precise_state():
    assert_kernel(forward, backward, reference, operands(dtype=torch.bfloat16))


def test_double_stays_double():
    inputs = operands(dtype=torch.float64)
    found = forward(*(t.to(DEVICE) for t in inputs))
    for f, e in zip(found, reference(*inputs), strict=True):
        torch.testing.assert_close(f.cpu(), e, rtol=1e-12, atol=1e-12)


def test_silence_is_exact_and_the_old_state_stays():
    x, dt, A, B, C, D, z, h = (t.to(DEVICE) for t in operands())
    h = torch.full_like(h, 1.001 * TINY)
    before = h.clone()
    _, after = forward(torch.zeros_like(x), dt, A, B, C, D, z, h)
    assert not after.any()
    assert torch.equal(h, before)


def test_strides_do_not_matter():
    inputs = [t.to(DEVICE) for t in operands()]
    strided = [t if t.dim() == 1 else t.mT.contiguous().mT for t in inputs]
    assert all(map(torch.equal, forward(*strided), forward(*inputs)))


@pytest.mark.parametrize("skip", [True, False], ids=["skip", "no skip"])
@pytest.mark.parametrize("gate", [True, False], ids=["gate", "open"])
def test_the_op_is_registered_properly(skip, gate):
    inputs = [
        t if t is None else t.to(DEVICE).requires_grad_() for t in operands(skip=skip, gate=gate)
    ]
    torch.library.opcheck(torch.ops.sssm.state_update.default, (*inputs, LEAK))


def test_the_written_out_adjoint_is_that_of_autograd():
    """What the operator does where there is no kernel."""
    op = torch.ops.sssm.state_update.default
    inputs = [t.requires_grad_() for t in operands(dtype=torch.float64)]
    given = [torch.ones_like(inputs[0]), torch.ones_like(inputs[7])]
    found = torch.autograd.grad(op(*inputs, LEAK), inputs, given)
    expected = torch.autograd.grad(state_update(*inputs, leak=LEAK), inputs, given)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_real_size_on_a_gpu():
    assert_kernel(forward, backward, reference, operands(512, 384, 16))
