import math

import pytest
import torch
from kernels import DEVICE, assert_kernel

from sssm.ops.cauchy import cauchy, cauchy_reference
from sssm.ops.cauchy.kernel import MODES, NODES, cauchy_backward_triton, cauchy_triton

pytestmark = pytest.mark.usefixtures("nan_memory")


def operands(products=2, channels=2, modes=3, nodes=8, dtype=torch.complex64):
    """Poles inside the unit circle, one of them near it, and all roots of unity, z = -1 too."""
    g = torch.Generator().manual_seed(nodes)
    v = torch.randn(products, channels, modes, generator=g, dtype=torch.complex128)
    radius = 0.99 - 0.9 * torch.rand(channels, modes, generator=g, dtype=torch.float64)
    radius[0, 0] = 0.999
    w = torch.polar(radius, math.pi * torch.rand(radius.shape, generator=g, dtype=torch.float64))
    z = torch.exp(2j * math.pi * torch.arange(nodes, dtype=torch.float64) / max(nodes, 1))
    return [t.to(dtype) for t in (v, z, w)]


def check(inputs):
    assert_kernel(cauchy_triton, cauchy_backward_triton, cauchy_reference, inputs)


@pytest.mark.parametrize("nodes", [1, 2, 7, NODES - 1, NODES, NODES + 1])
def test_as_good_as_the_reference(nodes):
    check(operands(nodes=nodes))


@pytest.mark.parametrize(
    ("products", "channels", "modes"), [(1, 1, 1), (3, 1, MODES), (4, 3, MODES + 1)]
)
def test_any_number_of_products_and_poles(products, channels, modes):
    check(operands(products, channels, modes, nodes=9))


def test_finite_at_nyquist_with_a_pole_on_the_real_axis():
    """z = -1 beside poles that are their own conjugates, as near as a slow mode comes."""
    w = torch.tensor([[-0.999, 0.5, -0.9999]], dtype=torch.complex64)
    check([torch.tensor([[[1, 2j, 1 - 1j]]], dtype=torch.complex64), operands(nodes=2)[1], w])
    assert cauchy_triton(*(t.to(DEVICE) for t in operands(nodes=16))).isfinite().all()


def test_double_stays_double():
    inputs = operands(nodes=33, dtype=torch.complex128)
    found = cauchy_triton(*(t.to(DEVICE) for t in inputs)).cpu()
    torch.testing.assert_close(found, cauchy_reference(*inputs), rtol=1e-12, atol=1e-12)


def test_nothing_and_strides():
    v, z, w = (t.to(DEVICE) for t in operands())
    assert cauchy_triton(v, z[:0], w).shape == (2, 2, 0)
    grads = cauchy_backward_triton(v, z[:0], w, torch.zeros(2, 2, 0, device=DEVICE, dtype=v.dtype))
    assert not any(g.any() for g in grads)
    strided = v.transpose(0, 2).contiguous().transpose(0, 2)
    assert torch.equal(cauchy_triton(strided, z, w), cauchy_triton(v, z, w))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_real_size_on_a_gpu():
    check(operands(4, 128, 32, 8001))


@pytest.mark.gpu
@pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")
def test_the_op_is_registered_properly_on_a_gpu():
    inputs = [t.to(DEVICE).requires_grad_() for t in operands()]
    torch.library.opcheck(torch.ops.sssm.cauchy.default, tuple(inputs))
    assert torch.equal(cauchy(*inputs), cauchy_triton(*(t.detach() for t in inputs)))
