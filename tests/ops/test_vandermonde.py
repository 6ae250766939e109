import math

import numpy as np
import pytest
import torch
from numerics import assert_as_good_as

from sssm.ops.vandermonde import vandermonde, vandermonde_reference

LENGTHS = [0, 1, 2, 15, 16, 17, 257]  # nothing, one, a square of blocks and its neighbours
SIZES = [(3, 4), (1, 1)]


def operands(dtype=torch.complex64, channels=3, modes=4):
    """Modes from the middle of the unit circle to its rim; the same numbers in every dtype."""
    g = torch.Generator().manual_seed(modes)
    C = torch.randn(channels, modes, generator=g, dtype=torch.complex64)
    radius = 0.2 + 0.79 * torch.rand(channels, modes, generator=g)
    dA = torch.polar(radius, 2 * math.pi * torch.rand(channels, modes, generator=g))
    return C.to(dtype), dA.to(dtype)


def gradients(product, operands, length):
    operands = [t.clone().requires_grad_() for t in operands]
    K = product(*operands, length)
    ways = torch.linspace(1, 2, length, dtype=K.dtype)
    return torch.autograd.grad((ways * K.square()).sum(), operands, materialize_grads=True)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("channels", "modes"), SIZES)
def test_as_good_as_the_reference(length, channels, modes):
    single = operands(channels=channels, modes=modes)
    exact = operands(torch.complex128, channels, modes)
    found, reference = vandermonde(*single, length), vandermonde_reference(*single, length)
    assert_as_good_as(found, reference, vandermonde_reference(*exact, length))
    for found, reference, truth in zip(
        gradients(vandermonde, single, length),
        gradients(vandermonde_reference, single, length),
        gradients(vandermonde_reference, exact, length),
        strict=True,
    ):
        assert_as_good_as(found, reference, truth)


@pytest.mark.parametrize("smallest", [0.0, 1e-42])
def test_gradients_of_modes_that_are_gone_at_once(smallest):
    """dA^0 is one for these too, and the slope of dA^1."""
    single, exact = operands(), operands(torch.complex128)
    for _, dA in (single, exact):
        dA[:, 0] = smallest
    for found, reference, truth in zip(
        gradients(vandermonde, single, 17),
        gradients(vandermonde_reference, single, 17),
        gradients(vandermonde_reference, exact, 17),
        strict=True,
    ):
        assert_as_good_as(found, reference, truth)


@pytest.mark.parametrize("form", [vandermonde, vandermonde_reference])
def test_it_is_the_papers_sum_written_out_in_numpy(form):
    C, dA = (t.numpy() for t in operands(torch.complex128))
    powers = np.stack([dA**l for l in range(21)], axis=-1)  # noqa: E741 -- the paper's letter
    expected = 2 * (C[..., None] * powers).sum(axis=1).real
    np.testing.assert_allclose(form(*operands(torch.complex128), 21), expected, atol=1e-13)


def test_phases_stay_right_over_16000_elements():
    """Modes that hardly decay: truth multiplies the same rounded dA in extended precision."""
    length = 16_000
    angle = torch.tensor([[1e-3, 0.5, 2.0, 3.14]])
    dA = torch.polar(torch.tensor([[0.9999, 0.99999, 0.999999, 0.9999999]]), angle)
    C = torch.tensor([[1, 1j, -1, 0.5 + 0.5j]], dtype=torch.complex64)
    steps = np.broadcast_to(dA.numpy().astype(np.clongdouble)[..., None], (1, 4, length - 1))
    later = np.cumprod(steps, axis=-1)
    truth = 2 * (C.numpy()[..., None] * later).sum(axis=1).real.astype(np.float64)
    error = (vandermonde(C, dA, length)[:, 1:] - torch.from_numpy(truth)).abs().max()
    assert error <= 4 * torch.finfo(torch.float32).eps * 2 * C.abs().sum()


@pytest.mark.parametrize("length", [0, 1, 5, 16])
def test_gradients_are_those_of_small_differences(length):
    inputs = [t.requires_grad_() for t in operands(torch.complex128)]
    assert torch.autograd.gradcheck(lambda C, dA: vandermonde(C, dA, length), inputs)


@pytest.mark.parametrize("length", [0, 17])
def test_the_op_is_registered_properly(length):
    inputs = [t.requires_grad_() for t in operands()]
    torch.library.opcheck(torch.ops.sssm.vandermonde.default, (*inputs, length))


@pytest.mark.parametrize("length", [0, 17])
def test_it_compiles_without_a_break(length):
    compiled = torch.compile(vandermonde, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*operands(), length), vandermonde(*operands(), length))
    found = gradients(compiled, operands(), length)
    assert all(map(torch.equal, found, gradients(vandermonde, operands(), length)))


def test_strides_and_lazy_conjugates_do_not_matter():
    C, dA = operands()
    strided = dA.T.contiguous().T
    assert torch.equal(vandermonde(C, strided, 9), vandermonde(C, dA, 9))
    assert torch.equal(
        vandermonde(C.conj(), dA.conj(), 9), vandermonde(C.conj_physical(), dA.conj_physical(), 9)
    )


def test_mixed_precision_leaves_it_alone():
    expected = [vandermonde(*operands(), 17), *gradients(vandermonde, operands(), 17)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [vandermonde(*operands(), 17), *gradients(vandermonde, operands(), 17)]
    assert all(map(torch.equal, found, expected))


def test_its_tables_are_made_where_its_operands_are():
    expected = [vandermonde(*operands(), 17), *gradients(vandermonde, operands(), 17)]
    C, dA = (t.requires_grad_() for t in operands())
    with torch.device("meta"):  # where a table that names no device would go
        K = vandermonde(C, dA, 17)
        dK = 2 * torch.linspace(1, 2, 17, device="cpu") * K.detach()
        found = [K, *torch.autograd.grad(K, [C, dA], dK)]
    assert all(map(torch.equal, found, expected))


def test_a_wrong_shape_is_named():
    C, dA = operands()
    with pytest.raises(ValueError, match=r"need C and dA \(H, N\); got C \(3, 4\), dA \(2, 4\)"):
        vandermonde(C, dA[:2], 5)
