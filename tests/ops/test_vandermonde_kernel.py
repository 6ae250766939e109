import math

import numpy as np
import pytest
import torch
from kernels import DEVICE, assert_kernel

from sssm.ops.vandermonde import vandermonde, vandermonde_reference
from sssm.ops.vandermonde.kernel import SIDE, vandermonde_backward_triton, vandermonde_triton

pytestmark = pytest.mark.usefixtures("nan_memory")
on_a_gpu = [pytest.mark.gpu, pytest.mark.skipif(DEVICE == "cpu", reason="needs a CUDA device")]

TILE = SIDE * SIDE


def operands(channels=2, modes=3, dtype=torch.complex64, smallest=0.2):
    g = torch.Generator().manual_seed(modes)
    C = torch.randn(channels, modes, generator=g, dtype=torch.complex64)
    radius = 1 - (1 - smallest) * torch.rand(channels, modes, generator=g) ** 2
    dA = torch.polar(radius, 2 * math.pi * torch.rand(channels, modes, generator=g))
    return [C.to(dtype), dA.to(dtype)]


def check(inputs, length):
    assert_kernel(
        lambda C, dA: vandermonde_triton(C, dA, length),
        vandermonde_backward_triton,
        lambda C, dA: vandermonde_reference(C, dA, length),
        inputs,
    )


@pytest.mark.parametrize("length", [1, 2, 31, 33, 257, TILE - 1, TILE, TILE + 1])
def test_as_good_as_the_reference(length):
    check(operands(), length)


@pytest.mark.parametrize(("channels", "modes"), [(1, 1), (3, 16), (1, 17)])
def test_any_number_of_modes(channels, modes):
    check(operands(channels, modes), 45)


@pytest.mark.parametrize("smallest", [0.0, 1e-42])
def test_modes_that_are_gone_at_once(smallest):
    inputs = operands()
    inputs[1][:, 0] = smallest
    check(inputs, 45)


def test_phases_stay_right_over_16000_elements():
    """Modes that hardly decay: truth multiplies the same rounded dA in extended precision."""
    length = 16_000
    angle = torch.tensor([[1e-3, 0.5, 2.0, 3.14]])
    dA = torch.polar(torch.tensor([[0.9999, 0.99999, 0.999999, 0.9999999]]), angle)
    C = torch.tensor([[1, 1j, -1, 0.5 + 0.5j]], dtype=torch.complex64)
    steps = np.broadcast_to(dA.numpy().astype(np.clongdouble)[..., None], (1, 4, length - 1))
    powers = np.concatenate([np.ones((1, 4, 1)), np.cumprod(steps, axis=-1)], axis=-1)
    truth = 2 * (C.numpy()[..., None] * powers).sum(axis=1).real
    found = vandermonde_triton(C.to(DEVICE), dA.to(DEVICE), length).cpu().numpy()
    bound = 4 * torch.finfo(torch.float32).eps * 2 * C.abs().sum().item()
    assert np.abs(found - truth).max() <= bound

    dK = np.cos(0.5 * np.arange(length, dtype=np.float32))[None]
    dC, ddA = vandermonde_backward_triton(*(t.to(DEVICE) for t in (C, dA, torch.from_numpy(dK))))
    terms = 2 * dK[:, None] * powers
    late = terms * np.arange(length) * (C / dA).numpy()[..., None]
    for found, summands in ((dC, terms), (ddA, late)):
        error = np.abs(found.cpu().numpy() - summands.sum(axis=-1).conj())
        assert (error <= 4 * torch.finfo(torch.float32).eps * np.abs(summands).sum(axis=-1)).all()


def test_nothing_and_double_precision():
    inputs = [t.to(DEVICE) for t in operands()]
    assert vandermonde_triton(*inputs, 0).shape == (2, 0)
    dC, ddA = vandermonde_backward_triton(*inputs, torch.zeros(2, 0, device=DEVICE))
    assert not dC.any()
    assert not ddA.any()
    inputs = operands(dtype=torch.complex128)
    found = vandermonde_triton(*(t.to(DEVICE) for t in inputs), 40).cpu()
    torch.testing.assert_close(found, vandermonde_reference(*inputs, 40), rtol=1e-12, atol=1e-12)


def test_strides_and_lazy_conjugates_do_not_matter():
    C, dA = (t.to(DEVICE) for t in operands())
    expected = vandermonde_triton(C.conj_physical(), dA, 9)
    assert torch.equal(vandermonde_triton(C.conj(), dA.T.contiguous().T, 9), expected)


class TestOnAGpu:
    pytestmark = on_a_gpu

    def test_real_size(self):
        check(operands(128, 32, smallest=0.999), 16_000)

    def test_memory_is_that_of_the_output(self):
        C, dA = (t.to(DEVICE) for t in operands(128, 32))
        vandermonde_triton(C, dA, 16_000)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        K = vandermonde_triton(C, dA, 16_000)
        added = torch.cuda.max_memory_allocated() - before
        assert added <= 2 * K.numel() * K.element_size()

    def test_the_op_is_registered_properly(self):
        C, dA = (t.to(DEVICE).requires_grad_() for t in operands())
        torch.library.opcheck(torch.ops.sssm.vandermonde.default, (C, dA, 17))
        found = vandermonde(C, dA, 17)
        assert torch.equal(found, vandermonde_triton(C.detach(), dA.detach(), 17))
