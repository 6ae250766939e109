import math

import pytest
import torch
from numerics import assert_as_good_as

from sssm.ops.cauchy import cauchy, cauchy_reference, parallel


def operands(dtype=torch.complex128, products=2, channels=3, modes=4, nodes=8):
    """Poles inside the unit circle, one of them near it, and all roots of unity, z = -1 too."""
    g = torch.Generator().manual_seed(nodes)
    v = torch.randn(products, channels, modes, generator=g, dtype=torch.complex128)
    radius = 0.99 - 0.9 * torch.rand(channels, modes, generator=g, dtype=torch.float64)
    radius[0, 0] = 0.999
    w = torch.polar(radius, math.pi * torch.rand(radius.shape, generator=g, dtype=torch.float64))
    z = torch.exp(2j * math.pi * torch.arange(nodes, dtype=torch.float64) / max(nodes, 1))
    return v.to(dtype), z.to(dtype), w.to(dtype)


def gradients(product, operands):
    operands = [t.clone().requires_grad_() for t in operands]
    total = product(*operands)
    ways = torch.linspace(1, 2, total.shape[-1], dtype=total.real.dtype)
    return torch.autograd.grad((ways * total.abs().square()).sum(), operands)


@pytest.mark.parametrize("nodes", [0, 1, 7, 8, 64])
def test_as_good_as_the_reference(nodes):
    single, exact = operands(torch.complex64, nodes=nodes), operands(torch.complex64, nodes=nodes)
    exact = [t.to(torch.complex128) for t in exact]
    assert_as_good_as(cauchy(*single), cauchy_reference(*single), cauchy_reference(*exact))
    for found, reference, truth in zip(
        gradients(cauchy, single),
        gradients(cauchy_reference, single),
        gradients(cauchy_reference, exact),
        strict=True,
    ):
        assert_as_good_as(found, reference, truth)


@pytest.mark.parametrize(("channels", "modes"), [(3, 0), (0, 4)])
def test_no_poles_add_nothing(channels, modes):
    v, z, w = operands()
    v, w = v.new_zeros(2, channels, modes), w.new_zeros(channels, modes)
    expected = torch.zeros(2, channels, len(z), dtype=v.dtype)
    torch.testing.assert_close(cauchy(v, z, w), expected, rtol=0, atol=0)
    assert not any(gradient.any() for gradient in gradients(cauchy, (v, z, w)))


def test_blocks_of_nodes_join(monkeypatch):
    """Blocks of 3 nodes, the last one shorter, give what one block gives."""
    expected = cauchy(*operands()), *gradients(cauchy, operands())
    monkeypatch.setattr(parallel, "BLOCK_NUMBERS", 3 * 2 * 3 * 4)
    found = cauchy(*operands()), *gradients(cauchy, operands())
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_it_generates_a_geometric_series():
    """z sum v / (z - w) at 1 / z = omega is sum_l omega^l 2 Re(v w^l), finite at omega = -1."""
    v, z, w = operands()
    l = torch.arange(400)  # noqa: E741 -- the paper's letter
    w = 0.9 * w
    series = 2 * (v[..., None] * w[..., None] ** l).sum(dim=2).real
    expected = series.to(z) @ z.conj() ** l[:, None]
    torch.testing.assert_close(z * cauchy(v, z, w), expected, rtol=1e-10, atol=1e-10)


def test_gradients_are_those_of_small_differences():
    torch.autograd.gradcheck(cauchy, [t.requires_grad_() for t in operands(nodes=5)])


@pytest.mark.parametrize("nodes", [0, 5])
def test_the_op_is_registered_properly(nodes):
    inputs = tuple(t.requires_grad_() for t in operands(nodes=nodes))
    torch.library.opcheck(torch.ops.sssm.cauchy.default, inputs)


def test_it_compiles_without_a_break():
    compiled = torch.compile(cauchy, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*operands()), cauchy(*operands()))
    found, expected = gradients(compiled, operands()), gradients(cauchy, operands())
    assert all(map(torch.equal, found, expected))


def test_strides_do_not_matter():
    v, z, w = operands()
    strided = v.transpose(0, 2).contiguous().transpose(0, 2)
    assert torch.equal(cauchy(strided, z, w), cauchy(v, z, w))


def test_a_wrong_shape_or_dtype_is_named():
    v, z, w = operands()
    with pytest.raises(ValueError, match=r"w \(H, N\)"):
        cauchy(v, z, w[:1])
    with pytest.raises(ValueError, match="one complex dtype"):
        cauchy(v, z, w.real)
