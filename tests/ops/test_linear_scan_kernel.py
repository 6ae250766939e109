"""The linear scan's kernel; its gradient is the same kernel run backwards, as autograd runs it."""

import pytest
import torch
from kernels import DEVICE, assert_kernel

from sssm.ops.linear_scan import kernel as scan_kernel
from sssm.ops.linear_scan import linear_scan, linear_scan_reference
from sssm.ops.linear_scan.kernel import linear_scan_triton

pytestmark = pytest.mark.usefixtures("nan_memory", "short_chunks")

# batch, length, lanes: one, odd, a block of lanes and one more, a chunk and its neighbours, chunks
SHAPES = [(1, 1, 1), (2, 5, 3), (1, 3, 33), (1, 15, 2), (1, 16, 2), (1, 17, 2), (2, 47, 3)]
DTYPES = [torch.float32, torch.complex64, torch.bfloat16]


def operands(batch, length, lanes, dtype):
    g = torch.Generator().manual_seed(length)
    a = 1 - torch.rand(batch, length, lanes, generator=g, dtype=torch.float64) ** 2 / 2
    b = torch.randn(batch, length, lanes, generator=g, dtype=torch.float64)
    h0 = torch.randn(batch, lanes, generator=g, dtype=torch.float64)
    if dtype.is_complex:
        angle = 6.28 * torch.rand(a.shape, generator=g, dtype=torch.float64)
        a, b, h0 = torch.polar(a, angle), torch.complex(b, b.flip(1)), torch.complex(h0, -h0)
    return [t.to(dtype) for t in (a, b, h0)]


def backward(a, b, h0, dh, dlast):
    """What autograd makes of the operator, with the kernel in its place."""
    h, _ = linear_scan_triton(a, b, h0)
    after = torch.cat([a[:, 1:], torch.ones_like(a[:, :1])], dim=1)
    db = linear_scan_triton(after.conj().flip(1), dh.flip(1), dlast)[0].flip(1)
    before = torch.cat([h0[:, None], h[:, :-1]], dim=1)
    return db * before.conj(), db, db[:, 0] * a[:, 0].conj()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES[:2], ids=str)
def test_as_good_as_the_reference(shape, dtype):
    assert_kernel(linear_scan_triton, backward, linear_scan_reference, operands(*shape, dtype))


@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 17, 1)], ids=str)
def test_rounded_operands_and_a_precise_state(shape):
    inputs = operands(*shape, torch.bfloat16)
    assert_kernel(linear_scan_triton, backward, linear_scan_reference, inputs)


def test_double_stays_double():
    found = linear_scan_triton(*(t.to(DEVICE) for t in operands(2, 33, 3, torch.complex128)))
    expected = linear_scan_reference(*operands(2, 33, 3, torch.complex128))
    for f, e in zip(found, expected, strict=True):
        torch.testing.assert_close(f.cpu(), e, rtol=1e-12, atol=1e-12)


def test_chunks_are_cut_where_few_lanes_leave_the_gpu_idle(monkeypatch):
    """The states of one program are those of many."""
    inputs = [t.to(DEVICE) for t in operands(2, 50, 3, torch.complex64)]
    found = linear_scan_triton(*inputs)
    monkeypatch.setattr(scan_kernel, "chunk_length", lambda length, programs: length)
    torch.testing.assert_close(found, linear_scan_triton(*inputs), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 4, 3), (2, 4, 0)], ids=str)
def test_nothing_leaves_the_state(shape):
    inputs = [t.to(DEVICE) for t in operands(*shape, torch.float32)]
    h, last = linear_scan_triton(*inputs)
    assert h.shape == shape
    assert torch.equal(last, inputs[2])
    assert shape[1] or last.data_ptr() != inputs[2].data_ptr()


def test_strides_and_lazy_conjugates_do_not_matter():
    a, b, h0 = (t.to(DEVICE) for t in operands(2, 6, 3, torch.complex64))
    expected = linear_scan_triton(a.conj_physical(), b, h0.conj_physical())
    found = linear_scan_triton(a.conj(), b.mT.contiguous().mT, h0.conj())
    assert all(map(torch.equal, found, expected))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_real_sizes_on_a_gpu(dtype):
    assert_kernel(
        linear_scan_triton, backward, linear_scan_reference, operands(4, 4000, 200, dtype)
    )


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_the_op_is_registered_properly_on_a_gpu():
    inputs = [t.to(DEVICE).requires_grad_() for t in operands(2, 130, 3, torch.complex64)]
    torch.library.opcheck(torch.ops.sssm.linear_scan.default, inputs)
    found = linear_scan(*inputs)
    assert all(map(torch.equal, found, linear_scan_triton(*(t.detach() for t in inputs))))
