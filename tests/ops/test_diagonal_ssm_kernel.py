import pytest
import torch
from kernels import DEVICE, assert_kernel, outcome, upstream

from sssm.ops import diagonal_ssm as operator
from sssm.ops.diagonal_ssm import diagonal_ssm, diagonal_ssm_reference
from sssm.ops.diagonal_ssm.kernel import MARK, diagonal_ssm_backward_triton, diagonal_ssm_triton
from sssm.ops.flush import TINY
from sssm.ops.kernels import LANES

pytestmark = pytest.mark.usefixtures("nan_memory")

BOTH = (diagonal_ssm_triton, diagonal_ssm_backward_triton)


def operands(batch=2, length=5, channels=2, N=3, dtype=torch.float32):
    """x, dA, B, C, h0."""
    g = torch.Generator().manual_seed(length)
    precise = torch.float32 if dtype == torch.bfloat16 else dtype

    def pair(*shape):
        return torch.randn(shape, generator=g, dtype=torch.complex128).to(precise.to_complex())

    x = torch.randn(batch, length, channels, generator=g, dtype=torch.float64).to(dtype)
    radius = 0.2 + 0.79 * torch.rand(channels, N, generator=g, dtype=torch.float64)
    dA = torch.polar(radius, 3.1 * torch.rand(channels, N, generator=g, dtype=torch.float64))
    B, C, h0 = pair(channels, N), pair(channels, N), pair(batch, channels, N)
    return [x, dA.to(B.dtype), B, C, h0]


@pytest.mark.parametrize("length", [1, 5, MARK - 1, MARK, MARK + 1, 2 * MARK + 1])
def test_as_good_as_the_reference(length):
    assert_kernel(*BOTH, diagonal_ssm_reference, operands(2, length))


@pytest.mark.parametrize(
    ("channels", "N"), [(1, 2), (LANES - 1, 8), (LANES, 1), (LANES + 1, 3), (2, 16), (3, 33)]
)
def test_any_number_of_channels_and_modes(channels, N):
    assert_kernel(*BOTH, diagonal_ssm_reference, operands(3, 4, channels, N))


def test_rounded_operands_and_a_precise_state():
    inputs = operands(2, 18, dtype=torch.bfloat16)
    assert_kernel(*BOTH, diagonal_ssm_reference, inputs)
    y, h = diagonal_ssm_triton(*(t.to(DEVICE) for t in inputs))
    assert (y.dtype, h.dtype) == (torch.bfloat16, torch.complex64)


def test_double_stays_double():
    inputs = operands(2, MARK + 2, 3, 32, dtype=torch.float64)
    there = [t.to(DEVICE) for t in inputs]
    outputs = diagonal_ssm_triton(*there)
    given = upstream([t.cpu() for t in outputs])
    found = *outputs, *diagonal_ssm_backward_triton(*there, *(t.to(DEVICE) for t in given))
    for f, e in zip(found, outcome(diagonal_ssm_reference, inputs, given), strict=True):
        torch.testing.assert_close(f.cpu(), e, rtol=1e-12, atol=1e-12)


def test_silence_is_exact_at_a_mark_and_at_the_end():
    """A state too small to be heard is zero from the next mark on; its gradient is not."""
    x, dA, B, C, h0 = (t.to(DEVICE) for t in operands(1, MARK + 1))
    x, dA, h0 = torch.zeros_like(x), torch.full_like(dA, 0.5), torch.full_like(h0, 1e-15)
    y, h = diagonal_ssm_triton(x, dA, B, C, h0)
    assert y[:, : MARK - 1].all()
    assert not y[:, MARK:].any()
    assert not h.any()
    _, h = diagonal_ssm_triton(x[:, :10], dA, B, C, h0)
    assert not h.any()
    assert TINY > 0.5**10 * 1e-15
    dy, dh = torch.zeros_like(x), torch.ones_like(h0)
    *_, dh0 = diagonal_ssm_backward_triton(x, dA, B, C, h0, dy, dh)
    torch.testing.assert_close(dh0, dA.conj().expand_as(h0) ** (MARK + 1))


def test_strides_and_lazy_conjugates_do_not_matter():
    x, *complexes = (t.to(DEVICE) for t in operands(2, 5))
    expected = diagonal_ssm_triton(x, *(t.conj_physical() for t in complexes))
    grads = diagonal_ssm_backward_triton(x, *(t.conj_physical() for t in complexes), *expected)
    x, *complexes, dy, dh = (t.mT.contiguous().mT for t in (x, *complexes, *expected))
    strided = x, *(t.conj() for t in complexes)
    assert all(map(torch.equal, diagonal_ssm_triton(*strided), expected))
    assert all(map(torch.equal, diagonal_ssm_backward_triton(*strided, dy, dh), grads))


def test_no_rows_are_no_work():
    x, dA, B, C, h0 = (t.to(DEVICE) for t in operands())
    rows = x[:0], dA, B, C, h0[:0]
    y, h = diagonal_ssm_triton(*rows)
    assert (y.shape, h.shape) == (x[:0].shape, h0[:0].shape)
    grads = diagonal_ssm_backward_triton(*rows, y, h)
    assert [g.shape for g in grads] == [t.shape for t in rows]
    assert not any(g.any() for g in grads)


@pytest.mark.parametrize(
    ("device", "batch", "length", "modes", "dtype", "recurs"),
    [
        ("cuda", 256, 200, 8, torch.complex64, True),
        ("cuda", 1, 1024, 64, torch.complex64, True),
        ("cuda", 256, 1025, 64, torch.complex64, False),
        ("cuda", 1, 8193, 8, torch.complex64, False),
        ("cuda", 1, 8192, 1, torch.complex64, True),
        ("cuda", 1, 8193, 1, torch.complex64, False),
        ("cuda", 1, 1, 65, torch.complex64, False),
        ("cuda", 1, 2048, 32, torch.complex128, True),
        ("cuda", 1, 1, 33, torch.complex128, False),
        ("mps", 256, 200, 8, torch.complex64, False),
    ],
)
def test_a_gpu_recurs_where_modes_and_elements_are_few(device, batch, length, modes, dtype, recurs):
    dA = torch.empty(2, modes, dtype=dtype)
    assert operator._recurs(device, batch, length, dA) == recurs


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("sizes", [(16, 200, 128, 8), (16, 101, 96, 1), (2, 1000, 40, 32)], ids=str)
def test_real_sizes_on_a_gpu(sizes, dtype):
    assert_kernel(*BOTH, diagonal_ssm_reference, operands(*sizes, dtype=dtype))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_the_op_is_registered_properly_on_a_gpu():
    inputs = [t.to(DEVICE).requires_grad_() for t in operands(2, 40)]
    torch.library.opcheck(torch.ops.sssm.diagonal_ssm.default, tuple(inputs))
    y, h = diagonal_ssm(*inputs)
    found = diagonal_ssm_triton(*(t.detach() for t in inputs))
    torch.testing.assert_close((y, h), found, rtol=0, atol=0)
