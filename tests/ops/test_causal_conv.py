import numpy as np
import pytest
import torch
from numerics import assert_as_good_as, assert_near

from sssm.ops.causal_conv import causal_conv, causal_conv_reference, causal_conv_step
from sssm.ops.causal_conv.parallel import causal_conv_parallel

LENGTHS = [0, 1, 2, 3, 4, 21]  # shorter than the filter, and longer
FORMS = [causal_conv, causal_conv_parallel]
SIZES = [(2, 3, 4), (1, 37, 4), (2, 3, 1)]


def operands(length, dtype=torch.float32, batch=2, channels=3, width=4):
    """x, weight, bias, tail; the same numbers in every precision."""
    g = torch.Generator().manual_seed(length)
    shapes = (batch, length, channels), (channels, width), (channels,), (batch, width - 1, channels)
    return [torch.randn(*shape, generator=g).to(dtype) for shape in shapes]


def outcome(form, inputs):
    """Outputs, and gradients of a loss that weighs every output, and the tail."""
    inputs = [t.clone().requires_grad_() for t in inputs]
    y, tail = form(*inputs)
    ways = torch.linspace(1, 2, y.shape[1], dtype=y.dtype)[:, None]
    loss = (ways * y.square()).sum() + (tail * tail * tail).sum()
    grads = torch.autograd.grad(loss, inputs, materialize_grads=True)
    return [y.detach(), tail.detach(), *grads]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("batch", "channels", "width"), SIZES)
def test_as_good_as_the_reference(form, length, batch, channels, width):
    sizes = batch, channels, width
    single, exact = (operands(length, dtype, *sizes) for dtype in (torch.float32, torch.float64))
    for found, reference, truth in zip(
        outcome(form, single),
        outcome(causal_conv_reference, single),
        outcome(causal_conv_reference, exact),
        strict=True,
    ):
        assert_as_good_as(found, reference, truth)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_exact_inside(dtype):
    halves = operands(9, dtype)
    for found, truth in zip(
        outcome(causal_conv, halves),
        outcome(causal_conv_reference, [part.double() for part in halves]),
        strict=True,
    ):
        assert found.dtype == dtype
        assert_near(found.double(), truth, 1e-2, "half precision")


@pytest.mark.parametrize("form", [*FORMS, causal_conv_reference])
def test_it_is_numpy_s_convolution(form):
    x, weight, bias, tail = (t.numpy() for t in operands(9, torch.float64))
    y, last = form(*operands(9, torch.float64))
    heard = np.concatenate([tail, x], axis=1)
    for row, channel in np.ndindex(2, 3):
        expected = np.convolve(heard[row, :, channel], weight[channel, ::-1], "valid")
        np.testing.assert_allclose(y[row, :, channel], expected + bias[channel], rtol=1e-12)
    np.testing.assert_array_equal(last, heard[:, -3:])


def test_the_step_is_one_element():
    x, *rest = operands(1)
    y, tail = causal_conv_step(x[:, 0], *rest)
    expected = causal_conv_reference(x, *rest)
    assert torch.equal(y[:, None], expected[0])
    assert torch.equal(tail, expected[1])


@pytest.mark.parametrize("length", [0, 1, 5])
def test_gradients_are_those_of_small_differences(length):
    inputs = [t.requires_grad_() for t in operands(length, torch.float64)]
    assert torch.autograd.gradcheck(causal_conv, inputs)


def test_either_output_alone_has_its_gradients():
    for part in (0, 1):
        found, expected = [
            torch.autograd.grad(form(*inputs)[part].square().sum(), inputs, materialize_grads=True)
            for form in (causal_conv, causal_conv_reference)
            for inputs in [[t.requires_grad_() for t in operands(2, torch.float64)]]
        ]
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("form", [*FORMS, causal_conv_reference])
@pytest.mark.parametrize("length", [0, 2, 9])
def test_no_output_shares_the_memory_of_an_input(form, length):
    tensors = [*operands(length), *form(*operands(length))]
    places = [t.untyped_storage().data_ptr() for t in tensors if t.numel()]
    inputs = operands(length)
    kept = [t.clone() for t in inputs]
    y, tail = form(*inputs)
    y.fill_(9.0)
    tail.fill_(9.0)
    assert all(map(torch.equal, inputs, kept))
    assert len(set(places)) == len(places)


def test_the_op_is_registered_properly():
    inputs = tuple(t.requires_grad_() for t in operands(5))
    torch.library.opcheck(torch.ops.sssm.causal_conv.default, inputs)


@pytest.mark.parametrize(("form", "length"), [(causal_conv, 0), (causal_conv, 5), (FORMS[1], 5)])
def test_it_compiles_without_a_break(form, length):
    compiled = torch.compile(form, fullgraph=True, backend="aot_eager")
    found, expected = (outcome(f, operands(length)) for f in (compiled, form))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("form", FORMS)
def test_strides_do_not_matter(form):
    scattered = [t.mT.contiguous().mT if t.dim() > 1 else t for t in operands(9)]
    torch.testing.assert_close(outcome(form, scattered), outcome(form, operands(9)))


def test_a_wrong_shape_is_named():
    x, weight, bias, tail = operands(5)
    with pytest.raises(ValueError, match=r"weight \(D, width\); got \(2, 5, 3\) and \(2, 4\)"):
        causal_conv(x, weight[:2], bias, tail)
    with pytest.raises(ValueError, match=r"need bias \(D,\); got \(2,\)"):
        causal_conv(x, weight, bias[:2], tail)
    with pytest.raises(ValueError, match=r"need tail \(batch, width - 1, D\); got \(2, 2, 3\)"):
        causal_conv(x, weight, bias, tail[:, 1:])


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64])
def test_a_wrong_kind_of_number_is_named(place, dtype):
    inputs = operands(5)
    inputs[place] = inputs[place].to(dtype)
    with pytest.raises(ValueError, match=f"need real operands, in floating point; got {dtype}"):
        causal_conv(*inputs)
