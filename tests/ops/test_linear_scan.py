import pytest
import torch
from numerics import assert_as_good_as, assert_near

from sssm.ops.linear_scan import linear_scan, linear_scan_reference

LENGTHS = [
    0,
    1,
    2,
    15,
    16,
    17,
    257,
]  # nothing, one, odd, a full square of chunks and its neighbours
DTYPES = [torch.float32, torch.complex64]
TRUTH = {torch.float32: torch.float64, torch.complex64: torch.complex128}


def operands(length, dtype, batch=2, lanes=3):
    g = torch.Generator().manual_seed(length)
    a = torch.rand(batch, length, lanes, generator=g, dtype=torch.float64)
    if dtype.is_complex:
        a = torch.polar(a, 6.28 * torch.rand(a.shape, generator=g, dtype=torch.float64))
    b = torch.randn(batch, length, lanes, generator=g, dtype=TRUTH.get(dtype, dtype))
    h0 = torch.randn(batch, lanes, generator=g, dtype=TRUTH.get(dtype, dtype))
    return tuple(t.to(dtype) for t in (a, b, h0))


def loss(scan, operands):
    """All states and the last one, each weighed in its own way."""
    h, last = scan(*operands)
    ways = torch.linspace(1, 2, h.shape[1], dtype=h.dtype)[:, None], 3 - 1j * h.is_complex()
    return ((ways[0] * h).sum() + (ways[1] * last).sum()).abs()


def gradients(scan, operands):
    operands = [t.clone().requires_grad_() for t in operands]
    return torch.autograd.grad(loss(scan, operands), operands)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_as_good_as_the_reference(length, dtype):
    exact = [t.to(TRUTH[dtype]) for t in operands(length, dtype)]
    for found, reference, truth in zip(
        linear_scan(*operands(length, dtype)),
        linear_scan_reference(*operands(length, dtype)),
        linear_scan_reference(*exact),
        strict=True,
    ):
        assert_as_good_as(found, reference, truth)


@pytest.mark.parametrize("length", LENGTHS[1:])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_as_good_as_the_references(length, dtype):
    exact = [t.to(TRUTH[dtype]) for t in operands(length, dtype)]
    for found, reference, truth in zip(
        gradients(linear_scan, operands(length, dtype)),
        gradients(linear_scan_reference, operands(length, dtype)),
        gradients(linear_scan_reference, exact),
        strict=True,
    ):
        assert_as_good_as(found, reference, truth)


@pytest.mark.parametrize("length", [0, 1, 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_gradients_are_those_of_small_differences(length, dtype):
    inputs = [t.requires_grad_() for t in operands(length, dtype)]
    torch.autograd.gradcheck(linear_scan, inputs)
    torch.autograd.gradgradcheck(linear_scan, inputs)


@pytest.mark.parametrize("length", [0, 5])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_op_is_registered_properly(length, dtype):
    inputs = tuple(t.requires_grad_() for t in operands(length, dtype))
    torch.library.opcheck(torch.ops.sssm.linear_scan.default, inputs)


def test_it_compiles_without_a_break():
    compiled = torch.compile(linear_scan, fullgraph=True, backend="aot_eager")
    inputs = operands(5, torch.complex64)
    assert all(map(torch.equal, compiled(*inputs), linear_scan(*inputs)))
    assert all(map(torch.equal, gradients(compiled, inputs), gradients(linear_scan, inputs)))


def test_a_slow_decay_over_a_long_sequence():
    a = torch.full((1, 16_000, 2), 0.9999, dtype=torch.float64)
    b = torch.sin(torch.arange(16_000.0, dtype=torch.float64))[None, :, None].expand(1, -1, 2)
    h0 = torch.ones(1, 2, dtype=torch.float64)
    torch.testing.assert_close(
        linear_scan(a, b, h0), linear_scan_reference(a, b, h0), rtol=1e-11, atol=1e-11
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_strides_and_expanded_decays_do_not_matter(dtype):
    a, b, h0 = operands(6, dtype)
    strided = b.transpose(1, 2).contiguous().transpose(1, 2)
    constant = a[:1, :1].expand(a.shape)
    expected = linear_scan(constant.contiguous(), b, h0)
    assert all(map(torch.equal, linear_scan(constant, strided, h0), expected))


def test_nothing_leaves_the_state_and_aliases_nothing():
    a, b, h0 = operands(0, torch.float32)
    _, last = linear_scan(a, b, h0)
    assert torch.equal(last, h0)
    assert last.data_ptr() != h0.data_ptr()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_exact_inside(dtype):
    halves = [t.requires_grad_() for t in operands(40, dtype)]
    singles = [t.detach().float().requires_grad_() for t in halves]
    found, exact = linear_scan(*halves), linear_scan(*singles)
    assert all(map(torch.equal, found, (t.to(dtype) for t in exact)))
    gradients = [
        torch.autograd.grad(h.float().square().sum() + last.float().sum(), inputs)
        for (h, last), inputs in ((found, halves), (exact, singles))
    ]
    for half, single in zip(*gradients, strict=True):
        assert half.dtype == dtype
        assert_near(half.float(), single, 2e-2, "half precision")


def test_a_wrong_shape_or_dtype_is_named():
    a, b, h0 = operands(5, torch.float32)
    with pytest.raises(ValueError, match=r"h0 \(batch, lanes\)"):
        linear_scan(a, b, h0[:1])
    with pytest.raises(ValueError, match="need one dtype"):
        linear_scan(a, b, h0.double())
