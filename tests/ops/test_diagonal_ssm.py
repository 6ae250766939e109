import itertools
import math

import numpy as np
import pytest
import torch
from numerics import assert_as_good_as, assert_near, relative_rms

from sssm.ops.diagonal_ssm import diagonal_ssm, diagonal_ssm_reference, diagonal_ssm_step
from sssm.ops.diagonal_ssm.parallel import diagonal_ssm_parallel
from sssm.ops.diagonal_ssm.scan import scan_backward
from sssm.ops.flush import TINY

LENGTHS = [1, 2, 63, 64, 65, 130]  # one, and below, at and above the chunk of the scan
FORMS = [diagonal_ssm, diagonal_ssm_parallel]  # one after the other, all at once
SIZES = [(2, 3, 4), (1, 9, 1)]


def operands(length, real=torch.float32, batch=2, channels=3, modes=4):
    """x, dA, B, C, h0; the same numbers in every precision."""
    g = torch.Generator().manual_seed(length)
    x = torch.randn(batch, length, channels, generator=g)
    radius = 0.2 + 0.79 * torch.rand(channels, modes, generator=g)
    dA = torch.polar(radius, 2 * math.pi * torch.rand(channels, modes, generator=g))
    B, C = torch.randn(2, channels, modes, generator=g, dtype=torch.complex64)
    h0 = torch.randn(batch, channels, modes, generator=g, dtype=torch.complex64)
    return [t.to(real.to_complex() if t.is_complex() else real) for t in (x, dA, B, C, h0)]


def gradients(form, operands):
    """Of a loss that weighs every output, and the last state."""
    operands = [t.clone().requires_grad_() for t in operands]
    y, h = form(*operands)
    ways = torch.linspace(1, 2, y.shape[1], dtype=y.dtype)[:, None]
    loss = (ways * y.square()).sum() + ((2 - 1j) * h * h).real.sum()
    return torch.autograd.grad(loss, operands, materialize_grads=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("batch", "channels", "modes"), SIZES)
def test_as_good_as_the_reference(form, length, batch, channels, modes):
    single = operands(length, torch.float32, batch, channels, modes)
    exact = operands(length, torch.float64, batch, channels, modes)
    for run in (lambda form, t: form(*t), gradients):
        for found, reference, truth in zip(
            run(form, single),
            run(diagonal_ssm_reference, single),
            run(diagonal_ssm_reference, exact),
            strict=True,
        ):
            assert_as_good_as(found, reference, truth)


@pytest.mark.parametrize("form", [*FORMS, diagonal_ssm_reference])
def test_it_is_the_recurrence_written_out_in_numpy(form):
    x, dA, B, C, h = (t.numpy() for t in operands(70, torch.float64))
    ys = []
    for t in range(70):
        h = dA * h + B * x[:, t, :, None]
        ys.append(2 * np.real(np.einsum("hn,bhn->bh", C, h)))
    y, last = form(*operands(70, torch.float64))
    np.testing.assert_allclose(y, np.stack(ys, axis=1), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(last, h, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", [1, 2, 20])
def test_modes_that_are_gone_at_once_have_gradients(form, length):
    inputs = operands(length, torch.float64)
    inputs[1][:, 0] = 0
    found, expected = gradients(form, inputs), gradients(diagonal_ssm_reference, inputs)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@torch.no_grad()
def test_the_forms_agree_over_16000_elements_of_slow_modes():
    """Memories of 10,000 elements and more: a drifting phase would show."""
    x, _, B, C, h0 = operands(16_000, channels=2)
    radius = 1 - torch.tensor([[1e-4, 1e-5, 1e-6, 1e-7], [1e-4, 1e-3, 1e-2, 1e-1]])
    dA = torch.polar(radius, torch.linspace(0, 3.1, 8).reshape(2, 4))
    x, h0 = x[:1], h0[:1]
    exact = [t.to(torch.complex128 if t.is_complex() else torch.float64) for t in (dA, B, C, h0)]
    truth = diagonal_ssm(x.double(), *exact)
    for form in FORMS:
        for found, expected in zip(form(x, dA, B, C, h0), truth, strict=True):
            assert relative_rms(found, expected) < 1e-5


@torch.no_grad()
@pytest.mark.parametrize(("batch", "length", "modes"), [(2, 4_000, 64), (1, 4_000, 64)])
def test_much_is_convolved_and_the_rest_is_not(batch, length, modes):
    inputs = operands(length, batch=batch, channels=1, modes=modes)
    convolved = diagonal_ssm_parallel(*inputs)[0]
    assert torch.equal(diagonal_ssm(*inputs)[0], convolved) == (batch > 1)
    assert relative_rms(diagonal_ssm(*inputs)[0], convolved) < 1e-5


def test_the_step_is_one_element():
    x, *rest = operands(1)
    y, h = diagonal_ssm_step(x[:, 0], *rest)
    expected = diagonal_ssm_reference(x, *rest)
    assert torch.equal(y[:, None], expected[0])
    assert torch.equal(h, expected[1])


@pytest.mark.parametrize(
    ("form", "length"), [*itertools.product(FORMS, [1, 3]), (diagonal_ssm, 66)]
)
def test_gradients_are_those_of_small_differences(form, length):
    inputs = [t.requires_grad_() for t in operands(length, torch.float64, 2, 1, 2)]
    assert torch.autograd.gradcheck(form, inputs)


def test_either_output_alone_has_its_gradients():
    for part in (0, 1):
        found, expected = [
            torch.autograd.grad(form(*inputs)[part].abs().sum(), inputs, materialize_grads=True)
            for form in (diagonal_ssm, diagonal_ssm_reference)
            for inputs in [[t.requires_grad_() for t in operands(5, torch.float64)]]
        ]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_nothing_leaves_the_state_and_aliases_nothing():
    x, dA, B, C, h0 = operands(0)
    y, h = diagonal_ssm(x, dA, B, C, h0)
    assert y.shape == (2, 0, 3)
    assert torch.equal(h, h0)
    assert h.data_ptr() != h0.data_ptr()
    gradient = gradients(diagonal_ssm, operands(0))[-1]
    assert torch.equal(gradient, gradients(diagonal_ssm_reference, operands(0))[-1])


def test_nothing_leaves_gradients_of_zero():
    inputs = [t.requires_grad_() for t in operands(0)]
    y, _ = diagonal_ssm(*inputs)
    found = torch.autograd.grad(y.sum(), inputs[:4])
    assert all(map(torch.equal, found, map(torch.zeros_like, inputs)))


def test_the_compiled_adjoint_of_nothing_writes_nothing_beyond_its_memory():
    rng = np.random.default_rng(0)
    A, B, C, dA, dB, dC = rng.standard_normal((6, 2, 12))
    h0, dh = rng.standard_normal((2, 1, 2, 12))
    x, kept = np.zeros((1, 0, 3)), dh.copy()
    scan_backward.py_func(x, A, B, C, h0, x, x, dA, dB, dC, dh)  # interpreted: bounds are checked
    assert np.array_equal(dh, kept)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("length", "modes"), [(40, 4), (4_000, 64)])
def test_half_precision_is_exact_inside(length, modes, dtype):
    x, *complexes = operands(length, modes=modes)
    found = diagonal_ssm(x.to(dtype), *complexes)
    y, h = diagonal_ssm(x.to(dtype).float(), *complexes)
    assert torch.equal(found[0], y.to(dtype))
    assert torch.equal(found[1], h)
    gradient = gradients(diagonal_ssm, [x.to(dtype), *complexes])[0]
    assert gradient.dtype == dtype
    assert_near(gradient.float(), gradients(diagonal_ssm, [x, *complexes])[0], 2e-2, "x")


@pytest.mark.parametrize(("length", "modes"), [(40, 4), (4_000, 64)])  # one by one, all at once
def test_another_precision_of_the_input_is_that_of_the_modes_inside(length, modes):
    for real, other in ((torch.float32, torch.float64), (torch.float64, torch.float32)):
        x, *complexes = operands(length, real, modes=modes)  # x is exact in both
        y, h = diagonal_ssm(x, *complexes)
        found = diagonal_ssm(x.to(other), *complexes)
        assert torch.equal(found[0], y.to(other))
        assert torch.equal(found[1], h)


@pytest.mark.parametrize("form", FORMS)
def test_a_batch_of_no_rows(form):
    inputs = operands(300, batch=0)
    y, h = form(*inputs)
    assert y.shape == (0, 300, 3)
    assert h.shape == (0, 3, 4)
    for gradient, operand in zip(gradients(form, inputs), inputs, strict=True):
        assert torch.equal(gradient, torch.zeros_like(operand))


@pytest.mark.parametrize(("channels", "modes"), [(3, 0), (0, 4)])
def test_no_modes_answer_nothing(channels, modes):
    nothing = operands(5, torch.float64, channels=channels, modes=modes)
    x = torch.randn(64, 5, channels, dtype=torch.float64)
    nothing[0], nothing[4] = x, nothing[4][:1].repeat(64, 1, 1)
    y, h = diagonal_ssm(*nothing)
    torch.testing.assert_close(y, torch.zeros_like(x), rtol=0, atol=0)
    assert h.shape == (64, channels, modes)
    assert not any(gradient.any() for gradient in gradients(diagonal_ssm, nothing))


@pytest.mark.parametrize("form", FORMS)
def test_what_decays_becomes_exact_zero_and_still_has_a_gradient(form):
    x, dA, B, C, h0 = operands(130)
    x, dA = torch.zeros_like(x), 0.5 * dA / dA.abs()
    h0 = (1e-10 * h0).requires_grad_()
    _, h = form(x, dA, B, C, h0)
    assert not h.any()
    _, halfway = form(x[:, :30], dA, B, C, h0)  # 1e-19: silent too
    assert not halfway.any()
    halfway.real.sum().backward()
    torch.testing.assert_close(h0.grad, (dA.conj() ** 30).expand(h0.shape), rtol=1e-4, atol=0)
    assert halfway.abs().max() < TINY


def test_the_op_is_registered_properly():
    inputs = tuple(t.requires_grad_() for t in operands(5))
    torch.library.opcheck(torch.ops.sssm.diagonal_ssm.default, inputs)


@pytest.mark.parametrize(
    ("form", "length"), [(diagonal_ssm, 0), (diagonal_ssm, 20), (diagonal_ssm_parallel, 20)]
)
def test_it_compiles_without_a_break(form, length):
    compiled = torch.compile(form, fullgraph=True, backend="aot_eager")
    assert all(map(torch.equal, compiled(*operands(length)), form(*operands(length))))
    found = gradients(compiled, operands(length))
    assert all(map(torch.equal, found, gradients(form, operands(length))))


@pytest.mark.parametrize("form", FORMS)
def test_strides_and_lazy_conjugates_do_not_matter(form):
    def scattered(t):
        return t.transpose(0, -1).contiguous().transpose(0, -1)

    x, *complexes = operands(21)
    expected = form(x, *(t.conj_physical() for t in complexes))
    found = form(scattered(x), *(scattered(t).conj() for t in complexes))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_mixed_precision_leaves_it_alone():
    expected = [*diagonal_ssm(*operands(20)), *diagonal_ssm_parallel(*operands(20))]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = diagonal_ssm(*operands(20))
    assert all(map(torch.equal, found, expected))


def test_its_tables_are_made_where_its_operands_are():
    expected = [*diagonal_ssm_parallel(*operands(20))]
    inputs = operands(20)
    with torch.device("meta"):  # where a table that names no device would go
        found = diagonal_ssm_parallel(*inputs)
    assert all(map(torch.equal, found, expected))


def test_a_wrong_shape_is_named():
    x, dA, B, C, h0 = operands(5)
    with pytest.raises(ValueError, match=r"dA, B, C \(H, N\); got x \(2, 5, 3\)"):
        diagonal_ssm(x, dA, B[:2], C, h0)
    with pytest.raises(ValueError, match=r"dA \(3,\), B \(3,\), C \(3,\)"):
        diagonal_ssm(x, dA[:, 0], B[:, 0], C[:, 0], h0[..., 0])
    with pytest.raises(ValueError, match=r"need h0 \(batch, H, N\); got \(1, 3, 4\)"):
        diagonal_ssm(x, dA, B, C, h0[:1])


def test_a_wrong_kind_of_number_is_named():
    x, dA, B, C, h0 = operands(5)
    with pytest.raises(ValueError, match=r"need x real, .*; got x torch.int64, dA torch.complex64"):
        diagonal_ssm(x.long(), dA, B, C, h0)
    with pytest.raises(ValueError, match=r"h0 complex; got .* h0 torch.float32"):
        diagonal_ssm(x, dA, B, C, h0.real)
