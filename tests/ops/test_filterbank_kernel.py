import pytest
import torch
from kernels import DEVICE, assert_kernel

from sssm.ops.filterbank import parallel
from sssm.ops.filterbank.kernel import scan_backward_triton, scan_triton

pytestmark = pytest.mark.usefixtures("nan_memory")


def operands(batch=2, pieces=5, K=3, dtype=torch.float32):
    """What `filterbank_by` hands to its scan."""
    g = torch.Generator().manual_seed(pieces)
    a = torch.polar(0.9 + 0.099 * torch.rand(K, generator=g), 3 * torch.rand(K, generator=g))
    lengths = torch.randint(20, 41, (pieces,), generator=g)
    carry = parallel.carries(a.to(torch.complex128), 1 - a.abs().double(), lengths)
    u = torch.randn(batch, pieces, 4 * K, generator=g, dtype=torch.float64)
    start = torch.randn(batch, 4, K, generator=g, dtype=torch.float64)
    return [t.to(dtype) for t in (u, carry, start)]


def backward(u, carry, start, denergy, dh):
    return scan_backward_triton(scan_triton(u, carry, start)[1], carry, start, denergy, dh)


def check(inputs):
    assert_kernel(scan_triton, backward, parallel.scan_parallel, inputs)


@pytest.mark.parametrize(
    "sizes", [(1, 1, 1), (2, 2, 3), (1, 7, 31), (2, 3, 32), (3, 3, 33), (1, 19, 2)], ids=str
)
def test_as_good_as_the_plain_loop(sizes):
    check(operands(*sizes))


def test_double_stays_double():
    inputs = operands(dtype=torch.float64)
    found = scan_triton(*(t.to(DEVICE) for t in inputs))
    for f, e in zip(found, parallel.scan_parallel(*inputs), strict=True):
        torch.testing.assert_close(f.cpu(), e, rtol=1e-12, atol=1e-12)


def test_what_decays_becomes_exact_zero_and_damage_shows():
    u, carry, start = (t.to(DEVICE) for t in operands(batch=2, pieces=40, K=1))
    energy, h = scan_triton(torch.zeros_like(u), carry * 0.2, start)
    assert not h[:, -1].any()
    assert ((energy == 0) | (energy >= torch.finfo(torch.float32).tiny)).all()
    u[0, 2] = float("nan")
    energy, h = scan_triton(u[:, :5].contiguous(), carry[:5], start)
    assert h[0, 4].isnan().all()
    assert energy[1].isfinite().all()  # rows do not hear one another


def test_strides_do_not_matter():
    inputs = [t.to(DEVICE) for t in operands()]
    expected = scan_triton(*inputs)
    strided = [t.transpose(0, 2).contiguous().transpose(0, 2) for t in inputs]
    assert all(map(torch.equal, scan_triton(*strided), expected))


def test_no_rows_are_no_work():
    u, carry, start = (t.to(DEVICE) for t in operands())
    energy, h = scan_triton(u[:0], carry, start[:0])
    assert energy.shape == (0, 4, 3)
    _, dcarry, _ = scan_backward_triton(h, carry, start[:0], energy, h)
    assert not dcarry.any()


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_real_size_on_a_gpu():
    check(operands(64, 401, 64))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_the_op_is_registered_properly_on_a_gpu():
    inputs = [t.to(DEVICE).requires_grad_() for t in operands()]
    torch.library.opcheck(torch.ops.sssm.filterbank_scan.default, tuple(inputs))
