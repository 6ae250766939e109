import pytest
import torch
from kernels import DEVICE, assert_kernel

from sssm.ops.flush import TINY
from sssm.ops.selective_scan import kernel as scan_kernel
from sssm.ops.selective_scan import selective_scan, selective_scan_reference
from sssm.ops.selective_scan.kernel import (
    BLOCK,
    selective_scan_backward_triton,
    selective_scan_triton,
)

pytestmark = pytest.mark.usefixtures("nan_memory", "short_chunks")

LEAK = 0.01
MARK = 8  # a chunk of 16 holds two marks


def operands(batch=1, length=5, channels=2, N=3, dtype=torch.float32, gate=True):
    g = torch.Generator().manual_seed(length)

    def randn(*shape):
        return torch.randn(shape, generator=g, dtype=torch.float64)

    x, z = randn(batch, length, channels).to(dtype), randn(batch, length, channels).to(dtype)
    dt = (0.001 + 0.2 * torch.rand(batch, length, channels, generator=g)).to(dtype)
    B, C = (randn(batch, length, N).to(dtype) for _ in range(2))
    precise = torch.float32 if dtype == torch.bfloat16 else dtype
    A = -torch.arange(1, N + 1, dtype=precise).repeat(channels, 1)
    D, h0 = randn(channels).to(precise), randn(batch, channels, N).to(precise)
    return [x, dt, A, B, C, D, z if gate else None, h0]


def forward(*operands):
    return selective_scan_triton(*operands, LEAK, MARK, False)[:2]


def backward(*operands):
    *inputs, h0, dy, dh = operands
    marks = selective_scan_triton(*inputs, h0, LEAK, MARK, True)[2]
    return selective_scan_backward_triton(*inputs, LEAK, MARK, marks, dy, dh)


def reference(*operands):
    return selective_scan_reference(*operands, leak=LEAK)


@pytest.mark.parametrize("gate", [True, False], ids=["gate", "open"])
@pytest.mark.parametrize("length", [1, 7, 8, 9])
def test_as_good_as_the_reference(length, gate):
    assert_kernel(forward, backward, reference, operands(2, length, gate=gate))


@pytest.mark.parametrize("length", [15, 16, 17, 35])
def test_chunks_carry_their_state(length):
    """One program for each chunk of 16, three phases from the second chunk on."""
    assert_kernel(forward, backward, reference, operands(1, length))


@pytest.mark.parametrize(
    ("channels", "N"),
    [(1, 2), (BLOCK - 1, 2), (BLOCK, 1), (BLOCK + 1, 5), (2, 16), (3, 33), (1, 600)],
)
def test_any_number_of_channels_and_states(channels, N):
    assert_kernel(forward, backward, reference, operands(3, 2, channels, N))


@pytest.mark.parametrize("N", [1, 4, 16, 33])
@pytest.mark.parametrize("programs", [1, 1 << 20], ids=["many", "few"])
def test_threads_that_share_a_channel(programs, N, monkeypatch):
    """Where programs are few, and where a channel has many states."""
    monkeypatch.setattr(scan_kernel, "PROGRAMS", programs)
    assert_kernel(forward, backward, reference, operands(2, 10, 3, N))


def test_rounded_operands_and_a_precise_state():
    assert_kernel(forward, backward, reference, operands(2, 18, dtype=torch.bfloat16))
    y, h = forward(*(t.to(DEVICE) for t in operands(dtype=torch.bfloat16)))
    assert (y.dtype, h.dtype) == (torch.bfloat16, torch.float32)


def test_double_stays_double():
    inputs = operands(2, 18, dtype=torch.float64)
    found = forward(*(t.to(DEVICE) for t in inputs))
    for f, e in zip(found, reference(*inputs), strict=True):
        torch.testing.assert_close(f.cpu(), e, rtol=1e-12, atol=1e-12)


def test_one_program_gives_what_many_do(monkeypatch):
    inputs = [t.to(DEVICE) for t in operands(1, 40)]
    found = forward(*inputs)
    monkeypatch.setattr(scan_kernel, "chunk_length", lambda length, programs: 64)
    torch.testing.assert_close(found, forward(*inputs), rtol=1e-5, atol=1e-6)


def test_what_is_kept_changes_nothing():
    inputs = [t.to(DEVICE) for t in operands(1, 35)]
    *expected, marks = selective_scan_triton(*inputs, LEAK, MARK, True)
    *found, none = selective_scan_triton(*inputs, LEAK, MARK, False)
    assert all(map(torch.equal, found, expected))
    assert (marks.shape[1], none.shape[1]) == (5, 0)


def test_silence_is_exact_at_a_mark_and_at_the_end():
    x, dt, A, B, C, D, z, h0 = (t.to(DEVICE) for t in operands(1, 9))
    x, h0 = torch.zeros_like(x), torch.full_like(h0, 2 * TINY)
    _, h, marks = selective_scan_triton(x, 40 * dt + 1, A, B, C, D, z, h0, LEAK, MARK, True)
    assert not h.any()
    assert marks[:, 0].all()
    assert not marks[:, 1:].any()


def test_extreme_gates_and_steps_are_finite():
    x, dt, A, B, C, D, z, h0 = (t.to(DEVICE) for t in operands())
    far = 200 * z.sign()
    assert all(t.isfinite().all() for t in forward(x, 1000 * dt, A, B, C, D, far, h0))
    dy, dh = torch.ones_like(x), torch.ones_like(h0)
    assert all(t.isfinite().all() for t in backward(x, 1000 * dt, A, B, C, D, far, h0, dy, dh))


def test_strides_do_not_matter():
    inputs = [t.to(DEVICE) for t in operands(2, 5)]
    expected = forward(*inputs)
    strided = [t if t.dim() == 1 else t.mT.contiguous().mT for t in inputs]
    assert all(map(torch.equal, forward(*strided), expected))


def test_no_rows_are_no_work():
    x, dt, A, B, C, D, z, h0 = (t.to(DEVICE) for t in operands())
    rows = x[:0], dt[:0], A, B[:0], C[:0], D, z[:0], h0[:0]
    y, h = forward(*rows)
    assert (y.shape, h.shape) == (x[:0].shape, h0[:0].shape)
    grads = backward(*rows, y, h)
    assert [g.shape for g in grads] == [t.shape for t in rows]
    assert not any(g.any() for g in grads)


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("sizes", [(8, 1000, 192, 16), (1, 5000, 40, 64)], ids=str)
def test_real_sizes_on_a_gpu(sizes, dtype, monkeypatch):
    monkeypatch.undo()
    assert_kernel(forward, backward, reference, operands(*sizes, dtype=dtype))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_the_op_is_registered_properly_on_a_gpu():
    inputs = [t.to(DEVICE).requires_grad_() for t in operands(2, 40)]
    torch.library.opcheck(torch.ops.sssm.selective_scan.default, (*inputs, LEAK, True))
    y, h = selective_scan(*inputs, leak=LEAK)
    torch.testing.assert_close((y, h), forward(*(t.detach() for t in inputs)))
