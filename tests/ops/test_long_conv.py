import numpy as np
import pytest
import torch
from numerics import assert_as_good_as, assert_near

from sssm.ops.long_conv import SHORT, long_conv, long_conv_reference, parallel

LENGTHS = [0, 1, 2, 31, SHORT - 1, SHORT, SHORT + 1, 600]  # both forms, and their border
FORMS = {"toeplitz": parallel.toeplitz_conv, "fft": parallel.fft_conv}


def operands(length, dtype=torch.float32, batch=2, channels=3):
    g = torch.Generator().manual_seed(length)
    x = torch.randn(batch, length, channels, generator=g)
    K = torch.randn(channels, length, generator=g) * 0.99 ** torch.arange(length)
    return x.to(dtype), K.to(dtype)


def gradients(conv, operands):
    operands = [t.clone().requires_grad_() for t in operands]
    y = conv(*operands)
    ways = torch.linspace(1, 2, y.shape[1], dtype=y.dtype)[:, None]
    return torch.autograd.grad((ways * y.square()).sum(), operands, materialize_grads=True)


@pytest.mark.parametrize("length", LENGTHS)
def test_as_good_as_the_reference(length):
    """The FFT's error is that of its largest output everywhere: its own slack is wider."""
    single, exact = operands(length), operands(length, torch.float64)
    slack = 4.0 if length <= SHORT else 8.0
    truth = long_conv_reference(*exact)
    assert_as_good_as(long_conv(*single), long_conv_reference(*single), truth, slack=slack)
    for found, reference, truth in zip(
        gradients(long_conv, single),
        gradients(long_conv_reference, single),
        gradients(long_conv_reference, exact),
        strict=True,
    ):
        assert_as_good_as(found, reference, truth, slack=slack)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("length", [SHORT, SHORT + 1])
def test_half_precision_at_every_length(length, dtype):
    halves = operands(length, dtype)
    exact = [t.double() for t in halves]
    found = [long_conv(*halves), *gradients(long_conv, halves)]
    truth = [long_conv_reference(*exact), *gradients(long_conv_reference, exact)]
    for half, double in zip(found, truth, strict=True):
        assert half.dtype == dtype
        assert_near(half.double(), double, 1e-2, "half precision")


@pytest.mark.parametrize("form", [*FORMS.values(), long_conv_reference])
def test_it_is_numpys_convolution(form):
    x, K = operands(40, torch.float64)
    expected = [
        [np.convolve(x[row, :, h], K[h])[:40] for h in range(x.shape[2])] for row in range(2)
    ]
    np.testing.assert_allclose(form(x, K), np.moveaxis(expected, 1, 2), atol=1e-12)


@pytest.mark.parametrize("form", FORMS.values())
@pytest.mark.parametrize("length", [1, 2, 5])
def test_gradients_are_those_of_small_differences(monkeypatch, form, length):
    monkeypatch.setattr("sssm.ops.long_conv.SHORT", length if form is FORMS["toeplitz"] else 0)
    inputs = [t.requires_grad_() for t in operands(length, torch.float64)]
    assert torch.autograd.gradcheck(long_conv, inputs)


def test_the_op_is_registered_properly():
    inputs = tuple(t.requires_grad_() for t in operands(5))
    torch.library.opcheck(torch.ops.sssm.toeplitz_conv.default, inputs)


@pytest.mark.parametrize("length", [0, 5, 300])
def test_it_compiles_without_a_break(length):
    compiled = torch.compile(long_conv, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*operands(length)), long_conv(*operands(length)))
    found = gradients(compiled, operands(length))
    assert all(map(torch.equal, found, gradients(long_conv, operands(length))))


@pytest.mark.parametrize("length", [6, 300])
def test_strides_do_not_matter(length):
    x, K = operands(length)
    strided = x.transpose(0, 2).contiguous().transpose(0, 2), K.T.contiguous().T
    assert torch.equal(long_conv(*strided), long_conv(x, K))
    spread = x[:, :, :1].expand(x.shape)
    assert torch.equal(long_conv(spread, K), long_conv(spread.contiguous(), K))


@pytest.mark.parametrize("length", [6, 300])
def test_mixed_precision_leaves_it_alone(length):
    expected = [long_conv(*operands(length)), *gradients(long_conv, operands(length))]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = [long_conv(*operands(length)), *gradients(long_conv, operands(length))]
    assert all(map(torch.equal, found, expected))


@pytest.mark.parametrize(("batch", "length"), [(2, 0), (0, 5), (0, 300)])
def test_nothing_gives_nothing_of_its_own(batch, length):
    x, K = operands(length, batch=batch)
    y = long_conv(x, K.requires_grad_())
    assert y.shape == (batch, length, 3)
    assert y is not x
    y.sum().backward()
    assert torch.equal(K.grad, torch.zeros_like(K))


@pytest.mark.parametrize("length", [100, 300])
@pytest.mark.parametrize(
    "dtypes", [(torch.float32, torch.float64), (torch.bfloat16, torch.float32)]
)
def test_types_may_differ_at_every_length(length, dtypes):
    x, K = torch.randn(2, length, 3, dtype=dtypes[0]), torch.randn(3, length, dtype=dtypes[1])
    y = long_conv(x, K)
    assert y.dtype == dtypes[0]
    torch.testing.assert_close(y, long_conv(x.to(dtypes[1]), K).to(dtypes[0]))


def test_a_wrong_shape_is_named():
    x, K = operands(5)
    with pytest.raises(ValueError, match=r"K \(H, length\); got x \(2, 5, 3\), K \(3, 4\)"):
        long_conv(x, K[:, :4])


@pytest.mark.parametrize("dtype", [torch.complex64, torch.int64])
def test_a_wrong_kind_of_number_is_named(dtype):
    x, K = operands(5)
    for inputs in ((x.to(dtype), K), (x, K.to(dtype))):
        with pytest.raises(ValueError, match=f"need real operands, in floating point; got {dtype}"):
            long_conv(*inputs)
